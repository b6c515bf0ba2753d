import { beforeAll, describe, expect, test } from "bun:test";
import { Problem } from "../../src/errors.ts";
import { startBoxShrink } from "../../src/image/box-shrink.ts";
import { type Orientation, turnOf } from "../../src/image/orientation.ts";
import { cutStrips } from "../../src/image/strips.ts";
import { configureSharp, openImage } from "../../workers/decode.ts";
import { createPreprocess } from "../../workers/preprocess.ts";
import {
  make16BitPng,
  makeAvif,
  makeCmykJpeg,
  makeGif,
  makeGrayAlphaPng,
  makeJpeg,
  makePixels,
  makePng,
  makeRgbaWebp,
  makeTiff,
  makeWebp,
  truncate,
} from "../support/pictures.ts";

beforeAll(configureSharp);

const size = { width: 131, height: 89 };
const noise = { ...size, kind: "noise", seed: 6 } as const;
const options = { maxPixels: 100_000, orientation: "apply" } as const;
const preprocess = createPreprocess({ side: 20, mean: [0, 0, 0], std: [1, 1, 1] });

async function pixelValues(image: Parameters<typeof preprocess>[0]): Promise<Float32Array> {
  const out = new Float32Array(3 * 20 * 20);
  await preprocess(image, out, 0);
  return out;
}

describe("read in strips, the model's input is the same, bit for bit, of", () => {
  test.each([
    ["a JPEG", makeJpeg(noise)],
    ["a JPEG on its side", makeJpeg({ ...noise, orientation: 6 })],
    ["a progressive JPEG", makeJpeg({ ...noise, progressive: true })],
    ["a progressive JPEG on its side", makeJpeg({ ...noise, progressive: true, orientation: 8 })],
    ["a CMYK JPEG", makeCmykJpeg(noise)],
    ["a PNG", makePng({ ...noise, orientation: 5 })],
    ["an interlaced PNG", makePng({ ...noise, progressive: true })],
    ["a 16-bit PNG", make16BitPng(noise)],
    ["gray with alpha", makeGrayAlphaPng(noise)],
    ["a WebP", makeWebp({ ...noise, orientation: 7 })],
    ["a WebP with alpha", makeRgbaWebp(noise)],
    ["an animated GIF", makeGif({ ...noise, frames: 3 })],
    ["an AVIF", makeAvif(noise)],
    ["a TIFF", makeTiff({ ...noise, compression: "lzw", orientation: 3 })],
    ["a TIFF on its side", makeTiff({ ...noise, compression: "jpeg", orientation: 6 })],
  ])("%s", async (_, made) => {
    const image = await openImage({ kind: "memory", bytes: await made }, options);
    expect(image.strips).toHaveLength(1);
    const whole = await pixelValues(image);
    for (const count of [2, 5]) {
      const strips = cutStrips(image, count, turnOf(image.orientation).isTransposed);
      expect(strips).toHaveLength(count);
      expect(await pixelValues({ ...image, strips, readRows: undefined })).toEqual(whole);
    }
  });
});

test("strips cover every row or column once, in order, also where there are fewer than strips", () => {
  expect(cutStrips({ width: 4, height: 7 }, 3, false)).toEqual([
    { left: 0, top: 0, width: 4, height: 2 },
    { left: 0, top: 2, width: 4, height: 2 },
    { left: 0, top: 4, width: 4, height: 3 },
  ]);
  expect(cutStrips({ width: 2, height: 7 }, 6, true)).toEqual([
    { left: 0, top: 0, width: 1, height: 7 },
    { left: 1, top: 0, width: 1, height: 7 },
  ]);
});

test("a file cut short is refused in strips too, although its first ones can be read", async () => {
  const bytes = truncate(await makePng(noise), 80);
  const image = await openImage({ kind: "memory", bytes }, options);
  const strips = cutStrips(image, 4, false);
  const [first, last] = [strips.at(0), strips.at(-1)];
  if (first === undefined || last === undefined) throw new Error("no strips");
  expect(await image.readStrip(first)).toHaveLength(first.width * first.height * 3);
  await expect(image.readStrip(last)).rejects.toMatchObject({ code: "undecodable-image" });
  await expect(pixelValues({ ...image, strips, readRows: undefined })).rejects.toMatchObject({
    code: "undecodable-image",
  });
});

test("an image whose time is over before it is read is refused, and the sentence says so", async () => {
  const bytes = await makePng(noise);
  const image = await openImage({ kind: "memory", bytes }, options, 0);
  const problem = await pixelValues(image).catch((error: unknown) => error);
  expect(problem).toBeInstanceOf(Problem);
  expect(problem).toMatchObject({
    code: "undecodable-image",
    message: "The image takes more than 20 s to decode: send a smaller or simpler one.",
  });
});

describe("shrinking while strips come", () => {
  const rgb = makePixels(noise);
  const factor = 7;

  /** The mean of each square, plainly. */
  const expected = Array.from({ length: 18 * 12 * 3 }, (_, index) => {
    const [x, y] = [Math.floor(index / 3) % 18, Math.floor(index / 3 / 18)];
    let sum = 0;
    for (let at = 0; at < factor * factor; at++) {
      const row = y * factor + Math.floor(at / factor);
      const column = x * factor + (at % factor);
      sum += rgb[(row * size.width + column) * 3 + (index % 3)] ?? Number.NaN;
    }
    return Math.round(sum / (factor * factor));
  });

  test.each([
    [1, false],
    [4, false],
    [4, true],
  ])("gives the mean of each square: %d strips, upright: %p", (count, isUpright) => {
    const shrink = startBoxShrink(size, factor);
    for (const strip of cutStrips(size, count, isUpright)) {
      const rows = Array.from({ length: strip.height }, (_, y) => {
        const start = ((strip.top + y) * size.width + strip.left) * 3;
        return [...rgb.subarray(start, start + strip.width * 3)];
      });
      shrink.add(strip, Uint8Array.from(rows.flat()));
    }
    const shrunk = shrink.finish();
    expect(shrunk).toMatchObject({ width: 18, height: 12 });
    expect([...shrunk.rgb]).toEqual(expected);
  });
});

test("every orientation's strips run along its stored rows or columns as it is turned", () => {
  const orientations: readonly Orientation[] = [1, 2, 3, 4, 5, 6, 7, 8];
  const isUpright = orientations.map(
    (orientation) =>
      cutStrips(size, 2, turnOf(orientation).isTransposed)[0]?.height === size.height,
  );
  expect(isUpright).toEqual([false, false, false, false, true, true, true, true]);
});
