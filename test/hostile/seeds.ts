/** Sound files of every kind that is decoded, from which the malformed ones are made. */
import sharp, { type Sharp } from "sharp";
import type { ImageFormat } from "../../src/image/signature.ts";
import {
  type Bytes,
  make16BitGrayPng,
  make16BitPng,
  make16BitTiff,
  makeAnimatedWebp,
  makeApng,
  makeAvif,
  makeCmykJpeg,
  makeGif,
  makeGrayAlphaPng,
  makeGrayJpeg,
  makeInkTiff,
  makeJpeg,
  makePalettePng,
  makePixels,
  makePng,
  makeRgbaPng,
  makeRgbaWebp,
  makeTiff,
  makeWebp,
  withJpegProfile,
  withPngProfile,
} from "../support/pictures.ts";

/** A sound file. */
export interface SeedFile {
  readonly name: string;
  readonly format: ImageFormat;
  readonly bytes: Bytes;
}

/** So small that a mutation is likely to hit what matters, and that thousands are decoded in seconds. */
const size = { width: 40, height: 24 };
const tiles = { tile: true, tileWidth: 16, tileHeight: 16 };
const turned = { ...size, orientation: 6 };

/** What is made: format, name, maker. */
const makers: readonly (readonly [ImageFormat, string, () => Promise<Bytes>])[] = [
  ["jpg", "baseline", () => makeJpeg(size)],
  ["jpg", "progressive", () => makeJpeg({ ...size, kind: "noise", progressive: true })],
  ["jpg", "gray", () => makeGrayJpeg(size)],
  ["jpg", "ink", () => makeCmykJpeg(size)],
  ["jpg", "metadata", () => makeJpeg({ ...turned, gps: true, xmp: "<x/>", comment: "a comment" })],
  ["jpg", "profile", async () => withJpegProfile(await makeJpeg(size))],
  ["png", "rgb", () => makePng(turned)],
  ["png", "16 bits", () => make16BitPng(size)],
  ["png", "16 bits of gray", () => make16BitGrayPng(size)],
  ["png", "palette", () => makePalettePng(size)],
  ["png", "interlaced", () => makePng({ ...size, kind: "noise", progressive: true })],
  ["png", "alpha", () => makeRgbaPng(size)],
  ["png", "gray and alpha", () => makeGrayAlphaPng(size)],
  ["png", "animated", () => makeApng(size)],
  ["png", "profile", async () => withPngProfile(await makePng(size))],
  ["webp", "lossy", () => makeWebp({ ...size, kind: "text" })],
  ["webp", "lossless", () => makeWebp({ ...turned, lossless: true })],
  ["webp", "alpha", () => makeRgbaWebp(size)],
  ["webp", "animated", () => makeAnimatedWebp(size)],
  ["gif", "still", () => makeGif({ ...size, kind: "text" })],
  ["gif", "animated", () => makeGif({ ...size, frames: 3 })],
  ["avif", "still", () => makeAvif(size)],
  ["avif", "alpha", () => encode(4, (picture) => picture.avif({ effort: 0 }))],
  ["avif", "lossless", () => encode(3, (picture) => picture.avif({ effort: 0, lossless: true }))],
  ["tif", "stripped", () => makeTiff({ ...turned, compression: "none" })],
  ["tif", "lzw", () => makeTiff({ ...size, compression: "lzw" })],
  ["tif", "jpeg", () => makeTiff({ ...size, compression: "jpeg" })],
  ["tif", "deflate", () => makeTiff({ ...size, compression: "deflate" })],
  ["tif", "packbits", () => encode(3, (picture) => picture.tiff({ compression: "packbits" }))],
  ["tif", "webp", () => encode(3, (picture) => picture.tiff({ compression: "webp" }))],
  ["tif", "big", () => makeTiff({ ...size, big: true })],
  ["tif", "16 bits", () => make16BitTiff({ width: 16, height: 12 })],
  ["tif", "one bit", () => encode(1, (picture) => picture.tiff({ bitdepth: 1 }))],
  ["tif", "ink", async () => makeInkTiff(makePixels(size, 4), size)],
  ["tif", "tiled", () => encode(3, (picture) => picture.tiff(tiles))],
  ["tif", "pyramid", () => encode(3, (picture) => picture.tiff({ ...tiles, pyramid: true }))],
  ["tif", "two pages", () => encode(3, (picture) => picture.tiff(), { pageHeight: 12 })],
];

/** Makes them all. */
export async function makeSeeds(): Promise<readonly SeedFile[]> {
  return await Promise.all(
    makers.map(async ([format, name, make]) => ({
      name: `${format}, ${name}`,
      format,
      bytes: await make(),
    })),
  );
}

async function encode(
  channels: 1 | 3 | 4,
  to: (picture: Sharp) => Sharp,
  pages: { readonly pageHeight?: number } = {},
): Promise<Bytes> {
  const raw = { ...size, ...pages, channels };
  const picture = sharp(makePixels({ ...size, kind: "text" }, channels), { raw });
  return new Uint8Array(await to(picture).toBuffer());
}
