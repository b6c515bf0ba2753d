import { open } from "node:fs/promises";
import sharp, { type Metadata, type Sharp } from "sharp";
import type { DecodeOptions, ImageBytes, ImageFacts } from "../src/backends/protocol.ts";
import { Problem } from "../src/errors.ts";
import { cmykToRgb } from "../src/image/cmyk.ts";
import { parseOrientation, type StoredPixels } from "../src/image/orientation.ts";
import type { ImageFormat } from "../src/image/signature.ts";
import { signatureBytes, sniffFormat } from "../src/image/signature.ts";

/** Pixels in a buffer of their own, and what is known of the bytes that they were read from. */
export interface DecodedImage extends StoredPixels {
  readonly facts: ImageFacts;
}

/** Bytes of a file that are hashed at a time. */
const digestPieceBytes = 256 * 1024;

/** libvips's readers of the formats that are decoded; HEIF is AVIF's container. */
const loaders = ["Jpeg", "Png", "Webp", "Nsgif", "Tiff", "Heif"].flatMap((name) => [
  `VipsForeignLoad${name}Buffer`,
  `VipsForeignLoad${name}File`,
]);

const formatNames = {
  jpg: "a JPEG",
  png: "a PNG",
  webp: "a WebP",
  gif: "a GIF",
  avif: "an AVIF",
  tif: "a TIFF",
} as const satisfies Record<ImageFormat, string>;

/**
 * Sets libvips up for a worker: one thread an image, nothing kept between images, and no reader but
 * those of the decoded formats. It holds for the whole process; calling it again changes nothing.
 */
export function configureSharp(): void {
  sharp.concurrency(1);
  sharp.cache(false);
  sharp.block({ operation: ["VipsForeignLoad"] });
  sharp.unblock({ operation: loaders });
}

/**
 * Decodes the first frame of an image to the pixels that the reference sees: alpha dropped, palette
 * expanded, gray replicated, colour profiles ignored, CMYK by formula. Two things differ on purpose:
 * the orientation is to be applied unless told otherwise, and 16-bit samples keep their high byte, also
 * in gray, which Pillow turns white. The pixels stay as they are stored, since turning them here would
 * need as much memory again.
 *
 * @param image is only read: `memory` bytes may be transferred once the promise is settled.
 * @throws Problem `unsupported-image` when the signature is not one of a decoded format,
 *   `too-many-pixels` by the header alone, `undecodable-image` when the bytes are cut short or corrupt.
 */
export async function decodeImage(
  image: ImageBytes,
  options: DecodeOptions,
): Promise<DecodedImage> {
  const format = await readFormat(image);
  const picture = openPicture(image);
  const header = await picture.metadata().catch((error) => refuse(format, error));
  const { width, height } = header;
  if (width * height > options.maxPixels) {
    throw new Problem(
      "too-many-pixels",
      `The image has ${width}×${height} pixels, more than the limit of ${options.maxPixels}: send a smaller one.`,
    );
  }
  // A TIFF's orientation is part of how its rows are stored: Pillow applies it while it loads.
  const isTurned = options.orientation === "apply" || format === "tif";
  const orientation = isTurned ? parseOrientation(header.orientation) : 1;
  const rgb = await readPixels(picture, header).catch((error) => refuse(format, error));
  const facts = { sha256: await digest(image), format, width, height };
  return { rgb, width, height, orientation, facts };
}

async function readFormat(image: ImageBytes): Promise<ImageFormat> {
  const head =
    image.kind === "memory"
      ? image.bytes.subarray(0, signatureBytes)
      : await Bun.file(image.path).slice(0, signatureBytes).bytes();
  const sniffed = sniffFormat(head);
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
    // The header is checked by decodeImage, which can then name the size.
    limitInputPixels: false,
  });
}

/** @returns uint8, [height, width, 3], in a buffer of its own. */
async function readPixels(picture: Sharp, header: Metadata): Promise<Uint8Array> {
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
async function readCmykPixels(picture: Sharp, header: Metadata): Promise<Uint8Array> {
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
  throw new Problem(
    "undecodable-image",
    `The bytes start like ${formatNames[format]} but are truncated or corrupt: send the complete file again.`,
    { cause },
  );
}

/** SHA-256 in lower-case hex; a file goes piece by piece through the same memory. */
async function digest(image: ImageBytes): Promise<string> {
  const hasher = new Bun.CryptoHasher("sha256");
  if (image.kind === "memory") return hasher.update(image.bytes).digest("hex");
  const file = await open(image.path);
  try {
    const piece = new Uint8Array(digestPieceBytes);
    for (;;) {
      const { bytesRead } = await file.read(piece);
      if (bytesRead === 0) return hasher.digest("hex");
      hasher.update(piece.subarray(0, bytesRead));
    }
  } finally {
    await file.close();
  }
}
