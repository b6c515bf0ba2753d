import sharp, { type Sharp } from "sharp";
import type { DecodeOptions, ImageBytes, ImageFacts } from "../src/backends/protocol.ts";
import { messageOf, Problem } from "../src/errors.ts";
import { cmykToRgb } from "../src/image/cmyk.ts";
import {
  type Orientation,
  parseOrientation,
  type StoredPixels,
  turnOf,
} from "../src/image/orientation.ts";
import type { ImageFormat } from "../src/image/signature.ts";
import { signatureBytes, sniffFormat } from "../src/image/signature.ts";
import { cutStrips, type Strip } from "../src/image/strips.ts";
import { limits } from "../src/limits.ts";
import { setStripHeight, stripRows } from "../src/native/strip-height.ts";
import { digest, readHead } from "./image-bytes.ts";
import { openPlainJpeg, type PlainJpeg, type TakeStrip, vipsSoname } from "./plain-jpeg.ts";
import { checkBoxes, formatNames, type ImageHeader, planStrips } from "./plan-strips.ts";

/** Pixels in a buffer of their own, and what is known of the bytes that they were read from. */
export interface DecodedImage extends StoredPixels {
  readonly facts: ImageFacts;
}

/** An image whose header is known, and whose pixels can be read. */
export interface OpenedImage {
  /** Pixels as stored. */
  readonly width: number;
  readonly height: number;
  readonly orientation: Orientation;
  readonly facts: ImageFacts;
  /** What the file's header says beyond that. */
  readonly header: Pick<ImageHeader, "space" | "depth" | "hasAlpha" | "pages" | "orientation">;
  /**
   * The image in the parts in which it is to be read: whole, or where that would take too much memory
   * in strips, whole columns where the image lies on its side. Each costs a decoding of its own.
   */
  readonly strips: readonly Strip[];
  /**
   * Decodes a part of the image.
   *
   * @returns uint8, [height, width, 3], in a buffer of its own.
   * @throws Problem `undecodable-image` when the bytes are cut short or corrupt, or take too long.
   */
  readStrip(strip: Strip): Promise<Uint8Array>;
  /**
   * Decodes the whole image at once, some rows at a time from the top down, in the calling thread and with memory for
   * these rows alone. Undefined where the image cannot be had so, or lies on its side.
   *
   * @param take gets pixels that change afterwards.
   * @throws Problem as `readStrip` does.
   */
  readonly readRows: ((take: TakeStrip) => void) | undefined;
}

/** libvips's readers of the formats that are decoded; HEIF is AVIF's container. */
const loaders = ["Jpeg", "Png", "Webp", "Nsgif", "Tiff", "Heif"].flatMap((name) => [
  `VipsForeignLoad${name}Buffer`,
  `VipsForeignLoad${name}File`,
]);

/**
 * Pixels of a plain JPEG up to which all of it is read into a buffer of Bun's, which gives memory back in its own time.
 */
const maxBufferedPixels = 16_000_000;

/**
 * Sets libvips up for a worker: one thread an image, nothing kept between images, and no reader but
 * those of the decoded formats. It holds for the whole process; calling it again changes nothing.
 */
export function configureSharp(): void {
  sharp.concurrency(1);
  sharp.cache(false);
  sharp.block({ operation: ["VipsForeignLoad"] });
  sharp.unblock({ operation: loaders });
  setStripHeight(vipsSoname, stripRows);
}

/**
 * Opens an image, to decode its first frame to the pixels that the reference sees: alpha dropped, palette
 * expanded, gray replicated, colour profiles ignored, CMYK by formula. Two things differ on purpose:
 * the orientation is to be applied unless told otherwise, and 16-bit samples keep their high byte, also
 * in gray, which Pillow turns white. The pixels stay as they are stored, since turning them here would
 * need as much memory again.
 *
 * @param image is only read: `memory` bytes may be transferred once nothing is being read.
 * @param timeoutMs how long everything may take, from now on. It is looked at between rows: what a reader
 *   does before its first row, seconds at most, is not interrupted.
 * @throws Problem `unsupported-image` when the signature is not one of a decoded format,
 *   `too-many-pixels` by the header alone, `undecodable-image` when that is cut short or corrupt.
 */
export async function openImage(
  image: ImageBytes,
  options: DecodeOptions,
  timeoutMs: number = limits.decodeTimeoutMs,
): Promise<OpenedImage> {
  const deadlineMs = performance.now() + timeoutMs;
  const format = await readFormat(image);
  if (format === "avif") await checkBoxes(image);
  const plain = format === "jpg" ? openPlainJpeg(image) : undefined;
  const metadata = () => openPicture(image).metadata();
  const header = plain?.header ?? (await metadata().catch((error) => refuse(format, error)));
  const { width, height } = header;
  const strips = await planStrips(image, format, header, options);
  // A TIFF's orientation is part of how its rows are stored: Pillow applies it while it loads.
  const isTurned = options.orientation === "apply" || format === "tif";
  const orientation = isTurned ? parseOrientation(header.orientation) : 1;
  const { isTransposed } = turnOf(orientation);
  const remainingMs = () => {
    const ms = deadlineMs - performance.now();
    return ms > 0 ? ms : refuseSlow();
  };
  const readPlain = (jpeg: PlainJpeg, take: TakeStrip, into?: Uint8Array) => {
    const fault = jpeg.readRows((strip, rgb) => {
      remainingMs();
      take(strip, rgb);
    }, into);
    if (fault !== undefined) refuseBroken(format, fault);
  };
  return {
    width,
    height,
    orientation,
    header,
    facts: { sha256: await digest(image), format, width, height },
    strips: cutStrips(header, strips, isTransposed),
    readStrip: async (strip) => {
      const isWhole = strip.width === width && strip.height === height;
      if (plain !== undefined && isWhole && width * height <= maxBufferedPixels) {
        const rgb = new Uint8Array(width * height * 3);
        readPlain(plain, () => {}, rgb);
        return rgb;
      }
      const whole = openPicture(image);
      const source = isWhole ? whole : whole.extract(strip);
      source.timeout({ seconds: Math.ceil(remainingMs() / 1000) });
      return await readPixels(source, header).catch((error) => refuse(format, error));
    },
    readRows: plain === undefined || isTransposed ? undefined : (take) => readPlain(plain, take),
  };
}

/** Decodes a whole image, whatever memory that takes. @throws Problem as {@link openImage} does. */
export async function decodeImage(
  image: ImageBytes,
  options: DecodeOptions,
): Promise<DecodedImage> {
  const { width, height, orientation, facts, readStrip } = await openImage(image, options);
  const rgb = await readStrip({ left: 0, top: 0, width, height });
  return { rgb, width, height, orientation, facts };
}

async function readFormat(image: ImageBytes): Promise<ImageFormat> {
  const sniffed = sniffFormat(await readHead(image, signatureBytes));
  if (typeof sniffed === "string") return sniffed;
  throw new Problem(
    "unsupported-image",
    `This is ${sniffed.unsupported}; JPEG, PNG, WebP, GIF, AVIF and TIFF are decoded.`,
  );
}

function openPicture(image: ImageBytes): Sharp {
  return sharp(image.kind === "memory" ? image.bytes : image.path, {
    failOn: "error",
    ignoreIcc: true,
    // The header is checked by planStrips, which can then name the size.
    limitInputPixels: false,
  });
}

/** @returns uint8, [height, width, 3], in a buffer of its own. */
async function readPixels(picture: Sharp, header: ImageHeader): Promise<Uint8Array> {
  if (header.space === "cmyk") return readCmykPixels(picture, header);
  const { data, info } = await picture
    .removeAlpha()
    .toColourspace("srgb")
    .raw()
    .toBuffer({ resolveWithObject: true });
  if (info.channels !== 3) throw new RangeError(`${info.channels} channels instead of 3`);
  return data;
}

/** Reads ink as it is stored, since libvips's own conversion goes through a colour profile. */
async function readCmykPixels(picture: Sharp, header: ImageHeader): Promise<Uint8Array> {
  const is16Bit = header.depth === "ushort";
  const { data, info } = await picture
    .pipelineColourspace("cmyk")
    .toColourspace("cmyk")
    .raw({ depth: is16Bit ? "ushort" : "uchar" })
    .toBuffer({ resolveWithObject: true });
  return cmykToRgb(is16Bit ? keepHighBytes(data) : data, info.channels);
}

/** Packs the upper halves of 16-bit samples at their start; all platforms served are little-endian. */
function keepHighBytes(samples: Uint8Array): Uint8Array {
  const count = samples.length / 2;
  for (let index = 0; index < count; index++) samples[index] = samples[index * 2 + 1] ?? 0;
  return samples.subarray(0, count);
}

/** What sharp says may hold a path, so it goes to the log alone. */
function refuse(format: ImageFormat, cause: unknown): never {
  if (/^timeout: /m.test(messageOf(cause))) refuseSlow(cause);
  refuseBroken(format, cause);
}

function refuseBroken(format: ImageFormat, cause: unknown): never {
  throw new Problem(
    "undecodable-image",
    `The bytes start like ${formatNames[format]} but are truncated or corrupt: send the complete file again.`,
    { cause },
  );
}

function refuseSlow(cause?: unknown): never {
  throw new Problem(
    "undecodable-image",
    `The image takes more than ${limits.decodeTimeoutMs / 1000} s to decode: send a smaller or simpler one.`,
    { cause },
  );
}
