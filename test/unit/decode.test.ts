import { beforeAll, describe, expect, test } from "bun:test";
import { configureSharp, decodeImage } from "../../workers/decode.ts";
import {
  type Bytes,
  make16BitGrayPng,
  make16BitPixels,
  make16BitPng,
  makeAnimatedWebp,
  makeAvif,
  makeCmykTiff,
  makeGif,
  makeGrayAlphaPng,
  makeGrayPng,
  makeInkTiff,
  makeJpeg,
  makePalettePng,
  makePixels,
  makePng,
  makeRgbaPng,
  makeTiff,
  makeWebp,
} from "../support/pictures.ts";

beforeAll(configureSharp);

const decode = (bytes: Bytes) =>
  decodeImage({ kind: "memory", bytes }, { maxPixels: 100_000, orientation: "apply" });

/** Largest difference of two pictures, in levels of a sample. */
function largestDifference(actual: Uint8Array, expected: Uint8Array): number {
  expect(actual.length).toBe(expected.length);
  return actual.reduce((most, level, i) => Math.max(most, Math.abs(level - (expected[i] ?? 0))), 0);
}

/** Keeps some channels of each pixel, in the order given. */
function pick(samples: Uint8Array, channels: number, kept: readonly number[]): Uint8Array {
  const picked: number[] = [];
  for (let pixel = 0; pixel < samples.length; pixel += channels) {
    for (const channel of kept) picked.push(samples[pixel + channel] ?? 0);
  }
  return Uint8Array.from(picked);
}

const noise = { kind: "noise", seed: 4 } as const;
const text = { kind: "text", seed: 5 } as const;

describe("pixels", () => {
  test.each([
    ["PNG", makePng(noise), makePixels(noise)],
    ["interlaced PNG", makePng({ ...noise, progressive: true }), makePixels(noise)],
    ["PNG with a palette", makePalettePng(text), makePixels(text)],
    ["lossless WebP", makeWebp({ ...noise, lossless: true }), makePixels(noise)],
    ["TIFF", makeTiff({ ...noise, compression: "none" }), makePixels(noise)],
    ["LZW TIFF", makeTiff({ ...noise, compression: "lzw" }), makePixels(noise)],
    ["deflated TIFF", makeTiff({ ...noise, compression: "deflate" }), makePixels(noise)],
    ["BigTIFF", makeTiff({ ...noise, big: true }), makePixels(noise)],
  ])("%s: as they were stored", async (_, made, expected) => {
    const { rgb, width, height } = await decode(await made);
    expect([width, height]).toEqual([64, 48]);
    expect(largestDifference(rgb, expected)).toBe(0);
  });

  test("alpha is dropped, not composited", async () => {
    const { rgb } = await decode(await makeRgbaPng(noise));
    expect(largestDifference(rgb, pick(makePixels(noise, 4), 4, [0, 1, 2]))).toBe(0);
  });

  test("gray is replicated, with and without alpha", async () => {
    const gray = await decode(await makeGrayPng(noise));
    expect(largestDifference(gray.rgb, pick(makePixels(noise, 1), 1, [0, 0, 0]))).toBe(0);
    const grayAlpha = await decode(await makeGrayAlphaPng(noise));
    expect(largestDifference(grayAlpha.rgb, pick(makePixels(noise, 2), 2, [0, 0, 0]))).toBe(0);
  });

  test("16-bit samples keep their high byte, in gray too", async () => {
    const colour = await decode(await make16BitPng(noise));
    const highBytes = Uint8Array.from(make16BitPixels(noise, 3), (sample) => sample >> 8);
    expect(largestDifference(colour.rgb, highBytes)).toBe(0);
    const gray = await decode(await make16BitGrayPng(noise));
    const highGray = Uint8Array.from(make16BitPixels(noise, 1), (sample) => sample >> 8);
    expect(largestDifference(gray.rgb, pick(highGray, 1, [0, 0, 0]))).toBe(0);
  });

  test("CMYK ink of 8 and of 16 bits becomes light by Pillow's formula", async () => {
    const size = { width: 8, height: 6, seed: 5 };
    const ink = make16BitPixels(size, 4);
    // What Pillow 9.4 makes of the first four pixels of this file.
    const pillows = [30, 22, 75, 127, 56, 38, 6, 51, 14, 60, 177, 95];
    const deep = await decode(makeInkTiff(ink, size));
    expect([...deep.rgb.subarray(0, 12)]).toEqual(pillows);
    const highBytes = Uint8Array.from(ink, (sample) => sample >> 8);
    const flat = await decode(makeInkTiff(highBytes, size));
    expect([...flat.rgb]).toEqual([...deep.rgb]);
  });

  test("a compressed CMYK TIFF shows about the colours that it was made of", async () => {
    const { rgb } = await decode(await makeCmykTiff({ kind: "text" }));
    expect(largestDifference(rgb, makePixels({ kind: "text" }))).toBeLessThan(64);
  });
});

describe("every kind of picture", () => {
  test("comes close to what was encoded where its format is lossy", async () => {
    const close = { kind: "gradient", seed: 8 } as const;
    for (const [made, most] of [
      [makeGif(text), 2],
      [makeJpeg(close), 16],
      [makeWebp(close), 24],
      [makeAvif(close), 24],
    ] as const) {
      const expected = makePixels(most === 2 ? text : close);
      const { rgb } = await decode(await made);
      const sum = rgb.reduce((total, level, i) => total + Math.abs(level - (expected[i] ?? 0)), 0);
      expect(sum / rgb.length).toBeLessThan(most);
    }
  });

  test("gives its first frame if it is animated", async () => {
    const webp = await decode(await makeAnimatedWebp({ ...noise, frames: 3 }));
    expect([webp.width, webp.height]).toEqual([64, 48]);
    expect(largestDifference(webp.rgb, makePixels(noise))).toBe(0);
    const gif = await decode(await makeGif({ ...text, frames: 3 }));
    expect(largestDifference(gif.rgb, makePixels(text))).toBeLessThanOrEqual(2);
  });

  test("decodes at the thinnest and the smallest size", async () => {
    for (const size of [
      { width: 1, height: 1 },
      { width: 1, height: 10_000 },
      { width: 10_000, height: 1 },
    ]) {
      const { rgb, width, height } = await decode(await makePng(size));
      expect({ width, height }).toEqual(size);
      expect(largestDifference(rgb, makePixels(size))).toBe(0);
    }
  });
});
