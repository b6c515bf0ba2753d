import { describe, expect, test } from "bun:test";
import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import sharp from "sharp";
import { stripJpegMetadata, stripPngMetadata } from "../../src/image/strip-metadata.ts";
import { leftOut } from "../support/left-out.ts";
import {
  ascii,
  type Bytes,
  concat,
  make16BitPng,
  makeCmykJpeg,
  makeGrayJpeg,
  makeJpeg,
  makePalettePng,
  makePng,
  makeRgbaPng,
  truncate,
} from "../support/pictures.ts";

/** Raw pixels as stored, with their shape. */
async function decode(bytes: Uint8Array): Promise<unknown> {
  const { data, info } = await sharp(bytes, { failOn: "warning" })
    .raw()
    .toBuffer({ resolveWithObject: true });
  const { width, height, channels } = info;
  return { data, width, height, channels };
}

function contains(bytes: Uint8Array, text: string): boolean {
  return Buffer.from(bytes).includes(text);
}

function stripped(strip: (bytes: Uint8Array) => Bytes | undefined, bytes: Uint8Array): Bytes {
  const result = strip(bytes);
  if (result === undefined) throw new Error("it could not be stripped");
  return result;
}

/** A JPEG segment. */
function segment(marker: number, body: string): Bytes {
  const length = body.length + 2;
  return concat(Uint8Array.of(0xff, marker, length >> 8, length & 255), ascii(body));
}

/** Puts segments behind the start of a JPEG. */
function withSegments(jpeg: Uint8Array, ...segments: readonly Uint8Array[]): Bytes {
  return concat(jpeg.subarray(0, 2), ...segments, jpeg.subarray(2));
}

/** A PNG chunk; its checksum is not computed, as nobody reads it. */
function chunk(type: string, body: string): Bytes {
  return concat(Uint8Array.of(0, 0, 0, body.length), ascii(type + body), new Uint8Array(4));
}

/** Puts chunks behind the header of a PNG. */
function withChunks(png: Uint8Array, ...chunks: readonly Uint8Array[]): Bytes {
  return concat(png.subarray(0, 33), ...chunks, png.subarray(33));
}

describe("a stripped JPEG", () => {
  test.each([
    ["baseline", () => makeJpeg({ gps: true, orientation: 1 })],
    ["progressive", () => makeJpeg({ progressive: true, kind: "noise", gps: true })],
    ["gray", () => makeGrayJpeg()],
    ["CMYK", () => makeCmykJpeg()],
  ])("has the same pixels: %s", async (_, make) => {
    const jpeg = await make();
    expect(await decode(stripped(stripJpegMetadata, jpeg))).toEqual(await decode(jpeg));
  });

  test("has lost position, captions and comments", async () => {
    const secrets = ["WGS-84", "a caption", "a comment", "by Jane", "Photoshop", "MPF", "JFXX"];
    const jpeg = withSegments(
      await makeJpeg({ gps: true, xmp: "a caption", comment: "a comment" }),
      segment(0xe0, "JFXX\0\x10 thumbnail"),
      segment(0xe2, "MPF\0 more pictures"),
      segment(0xed, "Photoshop 3.0\x008BIM by Jane"),
      segment(0xef, "anything"),
    );
    for (const secret of secrets) expect(contains(jpeg, secret)).toBe(true);
    const bare = stripped(stripJpegMetadata, jpeg);
    for (const secret of [...secrets, "Exif", "anything"]) {
      expect(contains(bare, secret)).toBe(false);
    }
    expect((await sharp(bare).metadata()).exif).toBeUndefined();
  });

  test("has lost comments between its scans", async () => {
    const jpeg = await makeJpeg({ progressive: true });
    const lastScan = Buffer.from(jpeg).lastIndexOf(Uint8Array.of(0xff, 0xda));
    const inner = concat(
      jpeg.subarray(0, lastScan),
      segment(0xfe, "hidden"),
      jpeg.subarray(lastScan),
    );
    expect(stripped(stripJpegMetadata, inner)).toEqual(stripped(stripJpegMetadata, jpeg));
  });

  test("has lost whatever follows its end, such as a film", async () => {
    const jpeg = await makeJpeg();
    expect(stripped(stripJpegMetadata, concat(jpeg, ascii("ftypmp42")))).toEqual(
      stripped(stripJpegMetadata, jpeg),
    );
  });

  test("keeps its colour profile and what Adobe says about its components", async () => {
    const jpeg = await makeCmykJpeg();
    const profiled = new Uint8Array(await sharp(jpeg).withIccProfile("p3").jpeg().toBuffer());
    const { icc } = await sharp(profiled).metadata();
    expect(icc).toBeDefined();
    expect((await sharp(stripped(stripJpegMetadata, profiled)).metadata()).icc).toEqual(icc);
    expect(contains(stripped(stripJpegMetadata, jpeg), "Adobe")).toBe(true);
  });

  test("is the same when stripped again", async () => {
    const once = stripped(stripJpegMetadata, await makeJpeg({ gps: true, comment: "a comment" }));
    expect(stripJpegMetadata(once)).toEqual(once);
  });

  test("may have fill bytes before its markers", async () => {
    const jpeg = await makeJpeg();
    const filled = withSegments(jpeg, Uint8Array.of(0xff, 0xff), segment(0xfe, "a comment"));
    expect(stripJpegMetadata(filled)).toEqual(stripJpegMetadata(jpeg));
  });

  test("is not made where the bytes are cut, corrupt or hide a thumbnail in JFIF's header", async () => {
    const jpeg = await makeJpeg({ comment: "a comment" });
    for (let percent = 0; percent < 100; percent += 1) {
      expect(stripJpegMetadata(truncate(jpeg, percent))).toBeUndefined();
    }
    expect(stripJpegMetadata(await makePng())).toBeUndefined();
    expect(stripJpegMetadata(withSegments(jpeg, ascii("junk")))).toBeUndefined();
    expect(stripJpegMetadata(withSegments(jpeg, Uint8Array.of(0xff, 0xfe, 0, 1)))).toBeUndefined();
    for (const marker of [0x01, 0xc8, 0xd8, 0xf0]) {
      expect(stripJpegMetadata(withSegments(jpeg, segment(marker, "?")))).toBeUndefined();
    }
    const emptyScan = Uint8Array.of(0xff, 0xd8, 0xff, 0xda, 0, 1, 0xff, 0xd9);
    expect(stripJpegMetadata(emptyScan)).toBeUndefined();
    const thumbnail = segment(0xe0, "JFIF\0\x01\x02\0\0\x01\0\x01\x01\x01rgb");
    expect(stripJpegMetadata(withSegments(jpeg, thumbnail))).toBeUndefined();
  });
});

test("a stripped JPEG keeps stuffed bytes, restart markers and fill bytes of its scans", () => {
  const scan = Uint8Array.of(1, 0xff, 0, 0xfe, 0xff, 0xd0, 0xff, 0xff, 0xd7, 2, 0xff, 0xff);
  const start = concat(Uint8Array.of(0xff, 0xd8), segment(0xda, "scan"), scan);
  const jpeg = concat(start, Uint8Array.of(0xd9));
  expect(stripJpegMetadata(concat(jpeg, ascii("film")))).toEqual(jpeg);
});

test("a stripped photo has the same pixels", async () => {
  const folder = join(import.meta.dir, "../../../shared/golden/pictures");
  let names: string[];
  try {
    names = readdirSync(folder).filter((name) => name.endsWith(".jpg"));
  } catch {
    leftOut("stripping the golden photos: they are not beside the repository");
    return;
  }
  expect(names).not.toEqual([]);
  for (const name of names) {
    const jpeg = readFileSync(join(folder, name));
    expect(await decode(stripped(stripJpegMetadata, jpeg))).toEqual(await decode(jpeg));
  }
});

describe("a stripped PNG", () => {
  test.each([
    ["RGB", () => makePng()],
    ["interlaced, with EXIF", () => makePng({ progressive: true, orientation: 1 })],
    ["with alpha", () => makeRgbaPng()],
    ["with a palette", () => makePalettePng()],
    [
      "with a colour profile",
      async () =>
        sharp(await makePng())
          .withIccProfile("p3")
          .png()
          .toBuffer(),
    ],
    ["16 bits", () => make16BitPng()],
  ])("has the same pixels: %s", async (_, make) => {
    const png = await make();
    const bare = stripped(stripPngMetadata, png);
    expect(await decode(bare)).toEqual(await decode(png));
    expect((await sharp(bare).metadata()).icc).toEqual((await sharp(png).metadata()).icc);
  });

  test("has lost texts, EXIF, times, further frames and whatever follows its end", async () => {
    const png = await makePng();
    const names = ["tEXt", "zTXt", "iTXt", "eXIf", "tIME", "pHYs", "acTL", "fdAT", "prVt"];
    const full = concat(
      withChunks(png, ...names.map((name) => chunk(name, `secret ${name}`))),
      ascii("secret"),
    );
    const bare = stripped(stripPngMetadata, full);
    expect(contains(bare, "secret")).toBe(false);
    expect(bare).toEqual(stripped(stripPngMetadata, png));
  });

  test("is not made where the bytes are cut, corrupt or need an unknown chunk", async () => {
    const png = await makePng();
    for (let percent = 0; percent < 100; percent += 1) {
      expect(stripPngMetadata(truncate(png, percent))).toBeUndefined();
    }
    expect(stripPngMetadata(await makeJpeg())).toBeUndefined();
    expect(stripPngMetadata(withChunks(png, chunk("SECR", "et")))).toBeUndefined();
    expect(stripPngMetadata(withChunks(png, chunk("a\0bc", "")))).toBeUndefined();
    const endless = chunk("tEXt", "");
    endless.fill(0xff, 0, 4);
    expect(stripPngMetadata(withChunks(png, endless))).toBeUndefined();
    const longEnd = png.slice();
    longEnd[longEnd.length - 9] = 1;
    expect(stripPngMetadata(longEnd)).toBeUndefined();
  });
});
