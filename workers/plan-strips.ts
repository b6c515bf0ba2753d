/** What an image's header is held to, before its pixels are read. */
import type { Metadata } from "sharp";
import type { DecodeOptions, ImageBytes } from "../src/backends/protocol.ts";
import { Problem } from "../src/errors.ts";
import { countBoxes, countTilePixels } from "../src/image/avif-tiles.ts";
import { planDecode } from "../src/image/decode-plan.ts";
import { type JpegScans, readJpegScans } from "../src/image/jpeg-scans.ts";
import type { ImageFormat } from "../src/image/signature.ts";
import { limits } from "../src/limits.ts";
import { giveBack, readAll } from "./image-bytes.ts";

/** What an image's header says, in sharp's words. */
export type ImageHeader = Pick<
  Metadata,
  | "width"
  | "height"
  | "space"
  | "channels"
  | "depth"
  | "hasAlpha"
  | "isProgressive"
  | "pages"
  | "orientation"
>;

/** Each format as sentences call it. */
export const formatNames = {
  jpg: "a JPEG",
  png: "a PNG",
  webp: "a WebP",
  gif: "a GIF",
  avif: "an AVIF",
  tif: "a TIFF",
} as const satisfies Record<ImageFormat, string>;

/** Bytes of libvips's sample types; those of the others, which are complex, are `mostSampleBytes` at most. */
const sampleBytes: Readonly<Record<string, number>> = {
  uchar: 1,
  char: 1,
  ushort: 2,
  short: 2,
  uint: 4,
  int: 4,
  float: 4,
  double: 8,
};
const mostSampleBytes = 16;

const noScans: JpegScans = { scans: 0, coefficientsPerPixel: 0 };

/** What is found in all bytes; those that were read from a file are given back at once. */
async function find<Found>(image: ImageBytes, read: (bytes: Uint8Array) => Found): Promise<Found> {
  const bytes = await readAll(image);
  const found = read(bytes);
  if (image.kind === "file") giveBack(bytes);
  return found;
}

/**
 * Looks at an AVIF's boxes, which libheif reads before anything is known of the picture: outside of every
 * deadline, and in seconds where they are millions.
 *
 * @throws Problem `undecodable-image` where there are too many.
 */
export async function checkBoxes(image: ImageBytes): Promise<void> {
  const boxes = await find(image, (bytes) => countBoxes(bytes, limits.maxAvifBoxes));
  if (boxes <= limits.maxAvifBoxes) return;
  throw new Problem(
    "undecodable-image",
    `The AVIF has more than ${limits.maxAvifBoxes} boxes: save it anew.`,
  );
}

/** @returns in how many strips the image is read. @throws Problem when it is not to be read. */
export async function planStrips(
  image: ImageBytes,
  format: ImageFormat,
  header: ImageHeader,
  { maxPixels }: DecodeOptions,
): Promise<number> {
  const { width, height } = header;
  const size = `${width}×${height} pixels`;
  if (width * height > maxPixels) {
    throw new Problem(
      "too-many-pixels",
      `The image has ${size}, more than the limit of ${maxPixels}: send a smaller one.`,
    );
  }
  if (Math.max(width, height) > limits.maxSidePixels) {
    const side = width > height ? "wide" : "high";
    throw new Problem(
      "too-many-pixels",
      `The image is ${Math.max(width, height)} pixels ${side}, more than the limit of ${limits.maxSidePixels} for a side: send a smaller one.`,
    );
  }
  const tilePixels = format === "avif" ? await find(image, countTilePixels) : 0;
  if (tilePixels > maxPixels) {
    throw new Problem(
      "too-many-pixels",
      `The image has ${size}, put together from tiles of ${tilePixels} in all, more than the limit of ${maxPixels}: save it anew, without tiles.`,
    );
  }
  // libvips calls a JPEG progressive when it has several scans.
  const isInterlaced = header.isProgressive === true;
  const hasScans = format === "jpg" && isInterlaced;
  const { scans, coefficientsPerPixel } = hasScans ? await find(image, readJpegScans) : noScans;
  if (scans > limits.maxJpegScans) {
    throw new Problem(
      "undecodable-image",
      `The JPEG has ${scans} scans, more than the limit of ${limits.maxJpegScans}: save it anew, without progressive scans.`,
    );
  }
  const pixels = {
    width,
    height,
    channels: header.channels,
    bytesPerSample: sampleBytes[header.depth] ?? mostSampleBytes,
    isCmyk: header.space === "cmyk",
    isInterlaced,
    coefficientsPerPixel,
  };
  const plan = planDecode(format, pixels, maxPixels);
  if ("strips" in plan) return plan.strips;
  throw new Problem(
    "too-many-pixels",
    `The image has ${size}, more than the limit of ${plan.maxPixels} for ${formatNames[format]} of its kind, which takes more memory than others: send a smaller one, or a plain JPEG.`,
  );
}
