/**
 * What becomes of every kind of input, one row each. More about some rows: cuts at every place and files
 * on disk in `decode-refusals.test.ts`, orientations in JPEG, WebP and TIFF in
 * `decode-orientation.test.ts`, lossy pictures held to Pillow's own pixels in
 * `../golden/pillow-jpegs.test.ts`.
 */
import { beforeAll, describe, expect, test } from "bun:test";
import sharp from "sharp";
import { Problem } from "../../src/errors.ts";
import { turnUpright } from "../../src/image/orientation.ts";
import { configureSharp, decodeImage } from "../../workers/decode.ts";
import golden from "../golden/pillow-jpegs.json";
import {
  type Bytes,
  concat,
  foreignHeads,
  make16BitGrayPng,
  make16BitPixels,
  make16BitPng,
  make16BitTiff,
  makeAnimatedWebp,
  makeApng,
  makeAvif,
  makeCmykJpeg,
  makeGif,
  makeGrayAlphaPng,
  makeGrayJpeg,
  makeGrayPng,
  makeInkTiff,
  makeJpeg,
  makePalettePng,
  makePixels,
  makePng,
  makeRgbaPng,
  makeRgbaWebp,
  makeTiff,
  makeTransparentPalettePng,
  makeWebp,
  truncate,
  withJpegProfile,
  withPngProfile,
} from "../support/pictures.ts";

beforeAll(configureSharp);

const noise = { kind: "noise", seed: 4, width: 64, height: 48 } as const;
const text = { kind: "text", seed: 5 } as const;
const soft = { kind: "gradient", seed: 8 } as const;
/** The picture that Pillow has decoded in every format. */
const odd = { width: 201, height: 133, kind: "noise", seed: 3 } as const;
const ink = make16BitPixels(noise, 4);
const flatInk = Uint8Array.from(ink, (sample) => sample >> 8);
const seeThrough = makeTransparentPalettePng(noise);

/** A TIFF of three pages. */
async function makePages(): Promise<Bytes> {
  const { width, height } = noise;
  const pages = [4, 5, 6].map((seed) => makePixels({ ...noise, seed }));
  const raw = { width, height: height * 3, channels: 3, pageHeight: height } as const;
  return new Uint8Array(
    await sharp(concat(...pages), { raw })
      .tiff({ compression: "lzw" })
      .toBuffer(),
  );
}

/** Decodes, and turns what is to be turned. */
async function decode(bytes: Bytes, orientation: "apply" | "ignore" = "apply") {
  const options = { maxPixels: 100_000, orientation };
  return turnUpright(await decodeImage({ kind: "memory", bytes }, options));
}

function problemOf(bytes: Bytes): Promise<unknown> {
  return decode(bytes).catch((error: unknown) => error);
}

/** Keeps some channels of each pixel, in the order given. */
function pick(samples: Uint8Array, channels: number, kept: readonly number[]): Uint8Array {
  const picked: number[] = [];
  for (let pixel = 0; pixel < samples.length; pixel += channels) {
    for (const channel of kept) picked.push(samples[pixel + channel] ?? 0);
  }
  return Uint8Array.from(picked);
}

const highBytes = (channels: 1 | 3) =>
  Uint8Array.from(make16BitPixels(noise, channels), (sample) => sample >> 8);

/** Light that ink lets through: Pillow's formula, in whole fractions. */
const light = Uint8Array.from({ length: (flatInk.length / 4) * 3 }, (_, index) => {
  const pixel = Math.floor(index / 3) * 4;
  const paper = 255 - (flatInk[pixel + 3] ?? 0);
  return paper - Math.round(((flatInk[pixel + (index % 3)] ?? 0) * paper) / 255);
});

type Row = readonly [input: string, bytes: Bytes | Promise<Bytes>, pixels: Uint8Array];

describe("pixels, sample by sample, of", () => {
  const everySize = [
    { width: 1, height: 1 },
    { width: 10_000, height: 1 },
    { width: 1, height: 10_000 },
  ];
  const alpha = pick(makePixels(noise, 4), 4, [0, 1, 2]);
  const grey = pick(makePixels(noise, 1), 1, [0, 0, 0]);
  const greyOfTwo = pick(makePixels(noise, 2), 2, [0, 0, 0]);
  test.each<Row>([
    ["a PNG: as stored", makePng(noise), makePixels(noise)],
    ["an interlaced PNG: as stored", makePng({ ...noise, progressive: true }), makePixels(noise)],
    ["a lossless WebP: as stored", makeWebp({ ...noise, lossless: true }), makePixels(noise)],
    ["a plain TIFF: as stored", makeTiff({ ...noise, compression: "none" }), makePixels(noise)],
    ["an LZW TIFF: as stored", makeTiff({ ...noise, compression: "lzw" }), makePixels(noise)],
    [
      "a deflated TIFF: as stored",
      makeTiff({ ...noise, compression: "deflate" }),
      makePixels(noise),
    ],
    ["a BigTIFF: as stored", makeTiff({ ...noise, big: true }), makePixels(noise)],
    ["a palette: expanded", makePalettePng(text), makePixels(text)],
    ["a palette, transparent in parts: its colours", seeThrough.bytes, seeThrough.rgb],
    ["alpha in PNG: dropped, not composited", makeRgbaPng(noise), alpha],
    ["alpha in WebP: dropped, not composited", makeRgbaWebp(noise), alpha],
    ["gray: replicated", makeGrayPng(noise), grey],
    ["gray with alpha: replicated, alpha dropped", makeGrayAlphaPng(noise), greyOfTwo],
    ["16-bit RGB in PNG: high bytes", make16BitPng(noise), highBytes(3)],
    ["16-bit RGB in TIFF: high bytes", make16BitTiff(noise), highBytes(3)],
    [
      "16-bit gray: high bytes, not white",
      make16BitGrayPng(noise),
      pick(highBytes(1), 1, [0, 0, 0]),
    ],
    ["a CMYK TIFF: by Pillow's formula", makeInkTiff(flatInk, noise), light],
    ["a 16-bit CMYK TIFF: high bytes by the formula", makeInkTiff(ink, noise), light],
    ["an animated WebP: its first frame", makeAnimatedWebp(noise), makePixels(noise)],
    ["an animated PNG: its first frame", makeApng(noise), makePixels(noise)],
    ["a TIFF of several pages: its first", makePages(), makePixels(noise)],
    ...everySize.map<Row>((size) => [
      `${size.width}×${size.height}: as stored`,
      makePng(size),
      makePixels(size),
    ]),
  ])("%s", async (_, made, expected) => {
    const bytes = await made;
    const { width, height } = await sharp(bytes).metadata();
    const image = await decode(bytes);
    expect(image).toMatchObject({ width, height });
    expect([...image.rgb]).toEqual([...expected]);
  });
});

test("the ink of a file that Pillow 9.4 was shown becomes the light that Pillow makes of it", async () => {
  const size = { width: 8, height: 6, seed: 5 };
  const { rgb } = await decode(makeInkTiff(make16BitPixels(size, 4), size));
  expect([...rgb.subarray(0, 12)]).toEqual([30, 22, 75, 127, 56, 38, 6, 51, 14, 60, 177, 95]);
});

describe("pixels as Pillow 9.4 decodes them, bit for bit, of", () => {
  test.each([
    ["a JPEG", "odd size", makeJpeg(odd)],
    ["a progressive JPEG", "progressive", makeJpeg({ ...odd, progressive: true })],
    ["a gray JPEG", "gray", makeGrayJpeg(odd)],
    ["a CMYK JPEG", "CMYK", makeCmykJpeg(odd)],
    ["JPEG in TIFF", "JPEG in TIFF", makeTiff({ ...odd, compression: "jpeg" })],
  ] as const)("%s", async (_, name, made) => {
    const { rgb } = await decode(await made);
    const sha256 = new Bun.CryptoHasher("sha256").update(rgb).digest("hex");
    expect(sha256).toBe(golden[name].rgbSha256);
  });
});

describe("pixels, about, of", () => {
  test.each([
    ["a GIF", makeGif(text), text, 2],
    ["an animated GIF: its first frame", makeGif({ ...text, frames: 3 }), text, 2],
    ["a lossy WebP", makeWebp(soft), soft, 24],
    ["an AVIF", makeAvif(soft), soft, 24],
  ] as const)("%s", async (_, made, shown, mostLevels) => {
    const expected = makePixels(shown);
    const { rgb } = await decode(await made);
    const sum = rgb.reduce((total, level, i) => total + Math.abs(level - (expected[i] ?? 0)), 0);
    expect(rgb.length).toBe(expected.length);
    expect(sum / rgb.length).toBeLessThan(mostLevels);
  });
});

describe("pixels as without its colour profile, which libvips would follow, of", () => {
  test.each([
    ["a PNG", makePng(noise), withPngProfile],
    ["a JPEG", makeJpeg(noise), withJpegProfile],
  ] as const)("%s", async (_, made, withProfile) => {
    const plain = await decode(await made);
    const bytes = await withProfile(await made);
    const followed = await sharp(bytes).raw().toBuffer();
    expect([...(await decode(bytes)).rgb]).toEqual([...plain.rgb]);
    expect([...followed]).not.toEqual([...plain.rgb]);
  });
});

describe("an EXIF orientation turns the picture unless it is to be ignored:", () => {
  const [width, height] = [3, 2];
  /** Pixels of `a b c / d e f`, stored so, when they are seen upright. */
  const upright = {
    1: ["abc", "def"],
    2: ["cba", "fed"],
    3: ["fed", "cba"],
    4: ["def", "abc"],
    5: ["ad", "be", "cf"],
    6: ["da", "eb", "fc"],
    7: ["fc", "eb", "da"],
    8: ["cf", "be", "ad"],
  } as const;
  const stored = makePixels({ ...noise, width, height });

  test.each(Object.entries(upright))("%d", async (orientation, rows) => {
    const made = { ...noise, width, height, orientation: Number(orientation) };
    const bytes = await makePng(made);
    const seen = Array.from(rows.join(""), (pixel) => {
      const at = (pixel.charCodeAt(0) - 97) * 3;
      return [...stored.subarray(at, at + 3)];
    });
    const turned = await decode(bytes);
    expect(turned).toMatchObject({ width: rows[0].length, height: rows.length });
    expect([...turned.rgb]).toEqual(seen.flat());
    expect([...(await decode(bytes, "ignore")).rgb]).toEqual([...stored]);
  });
});

describe("a file cut short is refused:", () => {
  test.each([
    ["JPEG", makeJpeg(noise)],
    ["PNG", makePng(noise)],
    ["WebP", makeWebp(noise)],
    ["GIF", makeGif(noise)],
    ["AVIF", makeAvif(noise)],
    ["TIFF", makeTiff(noise)],
  ])("%s", async (_, made) => {
    const problem = await problemOf(truncate(await made, 95));
    expect(problem).toMatchObject({ code: "undecodable-image" });
  });
});

describe("what is not decoded is refused by its name:", () => {
  test.each(Object.entries(foreignHeads))("%s", async (word, bytes) => {
    const problem = await problemOf(bytes);
    expect(problem).toBeInstanceOf(Problem);
    expect(problem).toMatchObject({
      code: "unsupported-image",
      message: expect.stringMatching(
        new RegExp(`^This is .*${word}.*; JPEG, PNG, WebP, GIF, AVIF and TIFF are decoded\\.$`),
      ),
    });
  });

  test("HEIC, which iPhones make, with how to convert it", async () => {
    expect(await problemOf(foreignHeads["HEIC"] ?? new Uint8Array())).toMatchObject({
      message: expect.stringContaining("convert it to JPEG first, for example with heif-convert"),
    });
  });
});
