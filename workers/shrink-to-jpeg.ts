/** Makes an image fit for NVIDIA's hosted model, or to be shown: a JPEG or PNG, upright, small, without metadata. */
import sharp, { type Sharp } from "sharp";
import type { DecodeOptions, ImageBytes, PreparedOutcome } from "../src/backends/protocol.ts";
import { startBoxShrink } from "../src/image/box-shrink.ts";
import { type StoredPixels, turnUpright } from "../src/image/orientation.ts";
import { createStripResampler } from "../src/image/resample.ts";
import { stripJpegMetadata, stripPngMetadata } from "../src/image/strip-metadata.ts";
import { trimHeap } from "../src/native/heap.ts";
import { type OpenedImage, openImage } from "./decode.ts";
import { giveBack } from "./image-bytes.ts";
import type { StripReader } from "./preprocess.ts";
import { problemMessage } from "./problem-message.ts";
import { reportOn, reportSide } from "./report.ts";

/** What an image is made to be. */
export interface Fit {
  /** Characters that it may have as base64; at least some thousands. */
  readonly maxBase64Chars: number;
  /**
   * Pixels of the longer side at most, of one that is to be shown; unless told, what goes to NVIDIA unchanged may
   * have more.
   */
  readonly maxSide?: number | undefined;
  /** Whether a report is wanted, too. */
  readonly isReported?: boolean | undefined;
}

type Fitting = Extract<PreparedOutcome["result"], { readonly image: unknown }>;

/** Pixels of the longer side; NVIDIA's own material names 960×544 as the model's input. */
const upstreamSide = 960;
/** JPEG qualities, of libjpeg's 1 to 100. Below the lowest a smaller picture looks better. */
const highestQuality = 90;
const lowestQuality = 40;
/** What the longer side shrinks to when even the lowest quality is too large. */
const sideStep = 0.75;

/**
 * Prepares one image. A small upright JPEG or PNG keeps its pixels as they are; anything else is
 * decoded, oriented, shrunk and encoded as a JPEG of the highest quality that fits.
 *
 * @param fit what it is to be. A report comes with it where one is wanted.
 * @returns a `problem` where the image cannot be decoded; the bytes of a `memory` image in any case.
 * @throws only on a bug.
 */
export async function prepareUpstream(
  image: ImageBytes,
  decode: DecodeOptions,
  fit: Fit,
): Promise<PreparedOutcome> {
  const startedMs = performance.now();
  const bytes = image.kind === "memory" ? { bytes: image.bytes } : {};
  const timings = () => ({ decodeMs: performance.now() - startedMs, inferMs: 0 });
  try {
    const opened = await openImage(image, decode);
    const picture = startPicture(opened, fit.maxSide);
    const view = fit.isReported ? createStripResampler(reportSide)(opened) : undefined;
    for (const strip of opened.strips) {
      const rgb = await opened.readStrip(strip);
      view?.add(strip, rgb);
      if (picture.add(strip, rgb)) continue;
      giveBack(rgb);
      trimHeap();
    }
    const report = view && { report: await reportOn(image, opened, view.finish()) };
    const result = await fitForUpstream(image, opened, picture.finish(), decode, fit);
    return { ...bytes, ...report, facts: opened.facts, result, timings: timings() };
  } catch (error) {
    return { ...bytes, result: { problem: problemMessage(error) }, timings: timings() };
  }
}

/** What a decoded picture becomes. @param picture of all the image's strips. */
export async function fitForUpstream(
  image: ImageBytes,
  opened: Pick<OpenedImage, "facts" | "header">,
  picture: StoredPixels,
  decode: DecodeOptions,
  { maxBase64Chars, maxSide }: Fit,
): Promise<Fitting> {
  const maxBytes = Math.floor(maxBase64Chars / 4) * 3;
  const { width, height } = opened.facts;
  const mayPass = maxSide === undefined || Math.max(width, height) <= maxSide;
  const asItIs = mayPass ? await passThrough(image, opened, decode, maxBytes) : undefined;
  return asItIs ?? (await shrinkToJpeg(picture, maxSide ?? upstreamSide, maxBytes));
}

/** A picture that is put together from an image's strips. */
interface Picture extends StripReader {
  /** To be called once all strips have been added. */
  finish(): StoredPixels;
}

/** Begins a picture: all pixels, or of an image that is read in strips about `maxSide`, averaged. */
export function startPicture(image: OpenedImage, maxSide = upstreamSide): Picture {
  const { width, height, orientation, strips } = image;
  if (strips.length === 1) {
    let all: Uint8Array = new Uint8Array();
    return {
      add: (_strip, rgb) => {
        all = rgb;
        return true;
      },
      finish: () => ({ rgb: all, width, height, orientation }),
    };
  }
  const factor = Math.min(width, height, Math.floor(Math.max(width, height) / maxSide));
  const shrink = startBoxShrink(image, factor);
  return {
    add: (strip, rgb) => {
      shrink.add(strip, rgb);
      return false;
    },
    finish: () => ({ ...shrink.finish(), orientation }),
  };
}

/** The image without its metadata, or undefined where its pixels cannot go as they are. */
async function passThrough(
  image: ImageBytes,
  { facts: { format }, header }: Pick<OpenedImage, "facts" | "header">,
  { orientation }: DecodeOptions,
  maxBytes: number,
): Promise<Fitting | undefined> {
  if (format !== "jpg" && format !== "png") return undefined;
  const isTurned = orientation === "apply" && (header.orientation ?? 1) !== 1;
  // Nothing promises that the model reads CMYK, or more than 8 bits, as we do.
  if (isTurned || header.space === "cmyk" || header.depth !== "uchar") return undefined;
  const original = image.kind === "memory" ? image.bytes : await Bun.file(image.path).bytes();
  const isJpeg = format === "jpg";
  const stripped = isJpeg ? stripJpegMetadata(original) : stripPngMetadata(original);
  if (stripped === undefined || stripped.length > maxBytes) return undefined;
  return { image: stripped, mime: isJpeg ? "image/jpeg" : "image/png" };
}

async function shrinkToJpeg(picture: StoredPixels, maxSide: number, maxBytes: number) {
  for (let side = maxSide; side >= 1; side = Math.floor(side * sideStep)) {
    const jpeg = await encodeToFit(await resize(picture, side), maxBytes);
    if (jpeg) return { image: new Uint8Array(jpeg), mime: "image/jpeg" } as const satisfies Fitting;
  }
  throw new RangeError(`no JPEG has as few as ${maxBytes} bytes`);
}

/** @returns a function that opens the picture anew, upright, its longer side at most `side` pixels. */
async function resize(
  { rgb, width, height, orientation }: StoredPixels,
  side: number,
): Promise<() => Sharp> {
  const { data, info } = await sharp(rgb, { raw: { width, height, channels: 3 } })
    .resize(side, side, { fit: "inside", withoutEnlargement: true })
    .raw()
    .toBuffer({ resolveWithObject: true });
  const upright = turnUpright({ rgb: data, width: info.width, height: info.height, orientation });
  const raw = { width: upright.width, height: upright.height, channels: 3 } as const;
  return () => sharp(upright.rgb, { raw });
}

/** Bisects the qualities: at most seven encodings. Returns undefined where even the lowest is too large. */
async function encodeToFit(open: () => Sharp, maxBytes: number): Promise<Buffer | undefined> {
  const encode = (quality: number) => open().jpeg({ quality }).toBuffer();
  let best = await encode(highestQuality);
  if (best.length <= maxBytes) return best;
  best = await encode(lowestQuality);
  if (best.length > maxBytes) return undefined;
  let fits = lowestQuality;
  let tooLarge = highestQuality;
  while (tooLarge - fits > 1) {
    const quality = (fits + tooLarge) >> 1;
    const jpeg = await encode(quality);
    if (jpeg.length <= maxBytes) [fits, best] = [quality, jpeg];
    else tooLarge = quality;
  }
  return best;
}
