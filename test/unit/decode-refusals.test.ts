import { beforeAll, describe, expect, test } from "bun:test";
import { mkdtemp, readdir, readlink, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import sharp from "sharp";
import type { ImageBytes } from "../../src/backends/protocol.ts";
import { Problem } from "../../src/errors.ts";
import { configureSharp, type DecodedImage, decodeImage } from "../../workers/decode.ts";
import {
  ascii,
  type Bytes,
  makeAvif,
  makeBombPng,
  makeGif,
  makeJpeg,
  makePng,
  makeTiff,
  makeWebp,
  truncate,
} from "../support/pictures.ts";

beforeAll(configureSharp);

/** The pixels, or the problem. */
function decode(image: Bytes | ImageBytes, maxPixels = 100_000): Promise<DecodedImage | Problem> {
  const source = image instanceof Uint8Array ? ({ kind: "memory", bytes: image } as const) : image;
  return decodeImage(source, { maxPixels, orientation: "apply" }).catch((error: unknown) => {
    if (error instanceof Problem) return error;
    throw error;
  });
}

/** Hands the bytes to a test as a file, and takes it away afterwards. */
async function withFile(bytes: Uint8Array, use: (path: string) => Promise<void>): Promise<void> {
  const folder = await mkdtemp(join(tmpdir(), "decode-"));
  try {
    const path = join(folder, "picture");
    await Bun.write(path, bytes);
    await use(path);
  } finally {
    await rm(folder, { recursive: true });
  }
}

async function openFiles(): Promise<string[]> {
  const names = await readdir("/proc/self/fd");
  return Promise.all(names.map((name) => readlink(`/proc/self/fd/${name}`).catch(() => "")));
}

const noise = { width: 100, height: 80, kind: "noise" } as const;

describe("a file cut short", () => {
  test.each([
    ["a JPEG", makeJpeg(noise)],
    ["a JPEG", makeJpeg({ ...noise, progressive: true })],
    ["a PNG", makePng(noise)],
    ["a PNG", makePng({ ...noise, progressive: true })],
    ["a WebP", makeWebp(noise)],
    ["a WebP", makeWebp({ ...noise, lossless: true })],
    ["a GIF", makeGif(noise)],
    ["an AVIF", makeAvif(noise)],
    ["a TIFF", makeTiff({ ...noise, compression: "none" })],
    ["a TIFF", makeTiff({ ...noise, compression: "jpeg" })],
  ])("%s is refused wherever the cut is, and its path is not told", async (name, made) => {
    const whole = await made;
    for (const percentKept of [10, 50, 90, 99]) {
      const bytes = truncate(whole, percentKept);
      await withFile(bytes, async (path) => {
        for (const image of [bytes, { kind: "file", path } as const]) {
          const problem = await decode(image);
          expect(problem).toMatchObject({
            code: "undecodable-image",
            message: `The bytes start like ${name} but are truncated or corrupt: send the complete file again.`,
          });
        }
        expect(await openFiles()).not.toContain(path);
      });
    }
  });

  test("an animation cut after its first frame still gives that frame", async () => {
    const whole = await makeGif({ ...noise, frames: 3 });
    expect(await decode(truncate(whole, 60))).toMatchObject({ width: 100, height: 80 });
  });
});

describe("too many pixels", () => {
  test("are refused by the header alone, which the detail names with the limit", async () => {
    const bomb = makeBombPng({ width: 30_000, height: 30_000 });
    expect(await decode(bomb, 100_000_000)).toMatchObject({
      code: "too-many-pixels",
      message:
        "The image has 30000×30000 pixels, more than the limit of 100000000: send a smaller one.",
    });
  });

  test("begin one above the limit", async () => {
    const bytes = await makePng(noise);
    expect(await decode(bytes, 8_000)).toMatchObject({ width: 100 });
    expect(await decode(bytes, 7_999)).toMatchObject({ code: "too-many-pixels" });
  });

  test.each([
    ["wide", { width: 65_536, height: 1 }],
    ["high", { width: 1, height: 65_536 }],
  ])("are also a side of more than 65535, here how %s it is", async (side, size) => {
    expect(await decode(makeBombPng(size))).toMatchObject({
      code: "too-many-pixels",
      message: `The image is 65536 pixels ${side}, more than the limit of 65535 for a side: send a smaller one.`,
    });
  });

  test("are not a side of 65535", async () => {
    const bytes = await makePng({ width: 65_535, height: 1 });
    expect(await decode(bytes)).toMatchObject({ width: 65_535, height: 1 });
  });

  test("are no excuse for a header that no file can have", async () => {
    const bomb = makeBombPng({ width: 2 ** 31 - 1, height: 2 ** 31 - 1 });
    expect(await decode(bomb)).toMatchObject({ code: "undecodable-image" });
  });
});

describe("what is not a decoded format", () => {
  test("never reaches libvips, whose other readers are shut in any case", async () => {
    const svg = ascii('<svg xmlns="http://www.w3.org/2000/svg" width="9" height="9"/>');
    await expect(sharp(svg).metadata()).rejects.toThrow(/unsupported image format/);
    await withFile(svg, async (path) => {
      await expect(sharp(path).metadata()).rejects.toThrow(/unsupported image format/);
    });
  });
});

describe("bytes in a file", () => {
  test("decode as they do from memory, and are closed again", async () => {
    const bytes = await makeJpeg({ ...noise, width: 1200, height: 900, orientation: 6 });
    const fromMemory = await decode(bytes, 2_000_000);
    const sha256 = new Bun.CryptoHasher("sha256").update(bytes).digest("hex");
    expect(fromMemory).toMatchObject({
      ...{ width: 1200, height: 900, orientation: 6 },
      facts: { sha256, format: "jpg", width: 1200, height: 900 },
    });
    await withFile(bytes, async (path) => {
      const fromFile = await decode({ kind: "file", path }, 2_000_000);
      expect(Bun.deepEquals(fromFile, fromMemory)).toBe(true);
      expect(await openFiles()).not.toContain(path);
    });
  });

  test("that are gone are a bug, not the caller's fault", async () => {
    const path = join(tmpdir(), "there-is-no-such-picture");
    await expect(decode({ kind: "file", path })).rejects.toThrow(/ENOENT/);
  });
});

test("bytes in memory can be transferred after decoding, and are unchanged", async () => {
  const bytes = await makeJpeg(noise);
  const copy = bytes.slice();
  await decode(bytes);
  expect(structuredClone(bytes, { transfer: [bytes.buffer] })).toEqual(copy);
  expect(bytes.length).toBe(0);
});
