import { describe, expect, test } from "bun:test";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import sharp from "sharp";
import type { PreparedOutcome } from "../../src/backends/protocol.ts";
import { prepareUpstream } from "../../workers/shrink-to-jpeg.ts";
import {
  type Bytes,
  make16BitPng,
  makeAvif,
  makeCmykJpeg,
  makeGif,
  makeGrayJpeg,
  makeJpeg,
  makePng,
  makeRgbaPng,
  makeTiff,
  makeWebp,
  truncate,
} from "../support/pictures.ts";

const maxBase64Chars = 179_999;
const upright = { maxPixels: 10_000_000, orientation: "apply" } as const;
const asStored = { maxPixels: 10_000_000, orientation: "ignore" } as const;

function prepare(bytes: Bytes, decode: typeof upright | typeof asStored = upright) {
  return prepareUpstream({ kind: "memory", bytes }, decode, { maxBase64Chars });
}

function fitting({ result }: PreparedOutcome) {
  if ("problem" in result) throw new Error(result.problem.detail);
  expect(result.image.toBase64().length).toBeLessThan(180_000);
  return result;
}

/** uint8, [height, width, 3], as stored. */
async function pixels(bytes: Uint8Array) {
  const picture = sharp(bytes).removeAlpha().toColourspace("srgb").raw();
  const { data, info } = await picture.toBuffer({ resolveWithObject: true });
  return { data, width: info.width, height: info.height };
}

/** Mean of the absolute differences of two pictures of one size. */
async function distance(a: Uint8Array, b: Uint8Array): Promise<number> {
  const [first, second] = [await pixels(a), await pixels(b)];
  expect([first.width, first.height]).toEqual([second.width, second.height]);
  const total = first.data.reduce((sum, v, i) => sum + Math.abs(v - (second.data[i] ?? 0)), 0);
  return total / first.data.length;
}

describe("a small upright JPEG or PNG", () => {
  test.each<[string, "image/jpeg" | "image/png", () => Promise<Bytes>]>([
    ["JPEG", "image/jpeg", () => makeJpeg()],
    ["progressive JPEG", "image/jpeg", () => makeJpeg({ progressive: true })],
    ["gray JPEG", "image/jpeg", () => makeGrayJpeg()],
    ["PNG", "image/png", () => makePng()],
    ["PNG with alpha", "image/png", () => makeRgbaPng()],
  ])("keeps every pixel: %s", async (_, mime, make) => {
    const bytes = await make();
    const outcome = await prepare(bytes);
    expect(fitting(outcome).mime).toBe(mime);
    expect(await distance(fitting(outcome).image, bytes)).toBe(0);
    expect(outcome.bytes).toBe(bytes);
  });

  test("loses its position, captions and comments", async () => {
    const bytes = await makeJpeg({ gps: true, xmp: "<x>secret</x>", comment: "secret" });
    const { image } = fitting(await prepare(bytes));
    expect(Buffer.from(image).toString("latin1")).not.toMatch(/secret|Exif/);
    expect(await distance(image, bytes)).toBe(0);
  });

  test("shares no memory with the bytes that are given back", async () => {
    const bytes = await makeJpeg();
    expect(fitting(await prepare(bytes)).image.buffer).not.toBe(bytes.buffer);
  });

  test("may lie in a file", async () => {
    const folder = await mkdtemp(join(tmpdir(), "shrink-to-jpeg-"));
    await using _ = { [Symbol.asyncDispose]: () => rm(folder, { recursive: true }) };
    const path = join(folder, "picture");
    const bytes = await makeJpeg();
    await Bun.write(path, bytes);
    const outcome = await prepareUpstream({ kind: "file", path }, upright, { maxBase64Chars });
    expect(await distance(fitting(outcome).image, bytes)).toBe(0);
    expect(outcome.bytes).toBeUndefined();
    expect(outcome.facts).toMatchObject({ format: "jpg", sha256: Bun.SHA256.hash(bytes, "hex") });
  });
});

describe("a photo that lies on its side", () => {
  test.each([2, 3, 4, 5, 6, 7, 8])("is turned upright: orientation %i", async (orientation) => {
    const bytes = await makeJpeg({ orientation, quality: 95, width: 48 });
    const { image, mime } = fitting(await prepare(bytes));
    const turned = await sharp(bytes).autoOrient().png().toBuffer();
    expect(mime).toBe("image/jpeg");
    expect(await distance(image, turned)).toBeLessThan(5);
    expect(await distance(image, bytes)).toBeGreaterThan(10);
    expect((await sharp(image).metadata()).orientation).toBeUndefined();
  });

  test("keeps its pixels where orientation is ignored, and nobody else can turn it", async () => {
    const bytes = await makeJpeg({ orientation: 6 });
    const { image } = fitting(await prepare(bytes, asStored));
    expect(await distance(image, bytes)).toBe(0);
    expect((await sharp(image).metadata()).orientation).toBeUndefined();
  });
});

describe("anything else becomes an sRGB JPEG of 8 bits", () => {
  test.each<[string, () => Promise<Bytes>]>([
    ["WebP", () => makeWebp()],
    ["GIF", () => makeGif()],
    ["AVIF", () => makeAvif()],
    ["TIFF", () => makeTiff()],
    ["CMYK JPEG", () => makeCmykJpeg()],
    ["PNG of 16 bits", () => make16BitPng({ width: 8, height: 8 })],
  ])("%s", async (_, make) => {
    const { image, mime } = fitting(await prepare(await make()));
    expect(mime).toBe("image/jpeg");
    expect(await sharp(image).metadata()).toMatchObject({
      format: "jpeg",
      space: "srgb",
      channels: 3,
      depth: "uchar",
    });
  });

  test("whose colours are those of the picture", async () => {
    const bytes = await makeWebp();
    expect(await distance(fitting(await prepare(bytes)).image, bytes)).toBeLessThan(5);
  });
});

describe("a picture that is too large", () => {
  test("is shrunk to 960 pixels at most, in its own proportions", async () => {
    const bytes = await makeWebp({ width: 1600, height: 1200 });
    const { image } = fitting(await prepare(bytes));
    expect(await sharp(image).metadata()).toMatchObject({ width: 960, height: 720 });
  });

  test("is not enlarged", async () => {
    const bytes = await makePng({ width: 500, height: 400, kind: "noise" });
    const { image } = fitting(await prepare(bytes));
    expect(await sharp(image).metadata()).toMatchObject({ width: 500, height: 400 });
  });

  test("has the highest quality that fits: one more would not", async () => {
    const bytes = await makePng({ width: 600, height: 450, kind: "noise" });
    const { image } = fitting(await prepare(bytes));
    const rgb = await pixels(bytes);
    const raw = { width: rgb.width, height: rgb.height, channels: 3 } as const;
    const sizes = await Promise.all(
      Array.from({ length: 90 }, async (_, index) => {
        return (
          await sharp(rgb.data, { raw })
            .jpeg({ quality: index + 1 })
            .toBuffer()
        ).length;
      }),
    );
    const fittingSizes = sizes.filter((size) => Math.ceil(size / 3) * 4 <= maxBase64Chars);
    expect(fittingSizes.length).toBeLessThan(90);
    expect(image.length).toBe(Math.max(...fittingSizes));
  });

  test("becomes smaller still where no good quality fits", async () => {
    const bytes = await makeJpeg({ width: 960, height: 960, kind: "noise" });
    const { image } = fitting(await prepare(bytes));
    const { width, height } = await sharp(image).metadata();
    expect(width).toBeLessThan(960);
    expect(width).toBe(height);
    expect(image.length).toBeGreaterThan(60_000);
  });

  test("may be one pixel high", async () => {
    const bytes = await makeWebp({ width: 3000, height: 1 });
    const { image } = fitting(await prepare(bytes));
    expect(await sharp(image).metadata()).toMatchObject({ width: 960, height: 1 });
  });
});

describe("an image that does not decode", () => {
  test.each<[string, Promise<Bytes>]>([
    ["undecodable-image", makeJpeg().then((bytes) => truncate(bytes, 60))],
    ["unsupported-image", Promise.resolve(new Uint8Array(64))],
    ["too-many-pixels", makePng({ width: 4000, height: 3000 })],
  ])("is a problem, and its bytes come back: %s", async (code, making) => {
    const bytes = await making;
    const outcome = await prepare(bytes);
    expect(outcome.result).toMatchObject({ problem: { code } });
    expect(outcome.facts).toBeUndefined();
    expect(outcome.bytes).toBe(bytes);
  });
});
