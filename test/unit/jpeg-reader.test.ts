/** Plain JPEGs, decoded in the calling thread: pixel for pixel, and refusal for refusal, what sharp makes of them. */
import { describe, expect, test } from "bun:test";
import { readdir, readlink } from "node:fs/promises";
import { join } from "node:path";
import fc from "fast-check";
import sharp, { type JpegOptions } from "sharp";
import { type JpegSource, openJpegReader } from "../../src/native/jpeg-reader.ts";
import { openImage } from "../../workers/decode.ts";
import { openPlainJpeg } from "../../workers/plain-jpeg.ts";
import {
  type Bytes,
  concat,
  makeCmykJpeg,
  makeGrayJpeg,
  makeJpeg,
  makePixels,
  makePng,
  truncate,
  withJpegProfile,
} from "../support/pictures.ts";
import { temporaryFolder } from "../support/tiny-clip.ts";

const soname = `libvips-cpp.so.${sharp.versions.vips}`;
const opened = openJpegReader(soname);
if (opened === undefined) throw new Error(`${soname} cannot be called`);
const reader = opened;

const noise = { width: 100, height: 150, kind: "noise" } as const;

/** The pixels, or undefined where it is refused. */
function readWith(source: JpegSource, roomRows?: number): Buffer | undefined {
  const header = reader.readHeader(source);
  if (header === undefined) return undefined;
  const rowBytes = header.width * 3;
  const into = new Uint8Array(rowBytes * (roomRows ?? header.height));
  const rows: Uint8Array[] = [];
  const fault = reader.readRows(source, header, into, (top, count, rgb) => {
    expect(top * rowBytes).toBe(rows.reduce((sum, { length }) => sum + length, 0));
    expect(rgb).toHaveLength(count * rowBytes);
    rows.push(rgb.slice());
  });
  if (fault !== undefined) return undefined;
  const all = Buffer.concat(rows);
  if (roomRows === undefined) expect(all.equals(into)).toBe(true);
  return all;
}

/** The same with sharp, as the worker sets it. */
function readWithSharp(bytes: Uint8Array): Promise<Buffer | undefined> {
  const picture = sharp(bytes, { failOn: "error", ignoreIcc: true });
  return picture
    .removeAlpha()
    .toColourspace("srgb")
    .raw()
    .toBuffer()
    .catch(() => undefined);
}

function encode(width: number, height: number, options: JpegOptions): Promise<Buffer> {
  const pixels = makePixels({ width, height, kind: "noise" });
  return sharp(pixels, { raw: { width, height, channels: 3 } })
    .jpeg(options)
    .toBuffer();
}

describe("pixels are sharp's, bit for bit", () => {
  test.each([
    [1, 1],
    [7, 5],
    [64, 64],
    [63, 65],
    [640, 480],
    [129, 1],
    [1, 129],
    [8000, 20],
  ])("%d × %d pixels, whole or a few rows at a time", async (width, height) => {
    for (const chromaSubsampling of ["4:2:0", "4:4:4"]) {
      for (const quality of [30, 95]) {
        const bytes = await encode(width, height, { quality, chromaSubsampling });
        const expected = await readWithSharp(bytes);
        if (expected === undefined) throw new Error("sharp refused it");
        for (const roomRows of [undefined, 1, 7, 64, 100]) {
          expect(readWith(bytes, roomRows)?.equals(expected)).toBe(true);
        }
      }
    }
  });

  test("a colour profile is left out of account, as it is by sharp here", async () => {
    const bytes = await withJpegProfile(await makeJpeg(noise));
    const expected = await readWithSharp(bytes);
    expect(expected).toBeDefined();
    expect(readWith(bytes)).toEqual(expected);
  });

  test("from a file, which is closed again, whatever its name", async () => {
    await using folder = await temporaryFolder();
    const bytes = await makeJpeg(noise);
    const path = join(folder.path, "a [fail_on=none] ünd %s.jpg");
    await Bun.write(path, bytes);
    expect(readWith(path)).toEqual(readWith(bytes));
    await Bun.write(path, truncate(bytes, 50));
    expect(readWith(path)).toBeUndefined();
    const names = await readdir("/proc/self/fd");
    const open = names.map((name) => readlink(`/proc/self/fd/${name}`).catch(() => ""));
    expect(await Promise.all(open)).not.toContain(path);
  });
});

describe("the header", () => {
  test.each([
    [undefined, 1],
    [1, 1],
    [6, 6],
    [8, 8],
    [0, 1],
    [9, 1],
  ])("of EXIF orientation %p says %p, and the size as stored", async (orientation, expected) => {
    const bytes = await makeJpeg(
      orientation === undefined ? noise : { ...noise, orientation, gps: true },
    );
    const { width, height } = noise;
    expect(reader.readHeader(bytes)).toEqual({ width, height, orientation: expected });
  });

  test.each([
    ["gray", makeGrayJpeg(noise)],
    ["CMYK", makeCmykJpeg(noise)],
    ["of several scans", makeJpeg({ ...noise, progressive: true })],
    ["a PNG", makePng(noise)],
    ["cut in its header", makeJpeg(noise).then((bytes) => truncate(bytes, 1))],
    ["nothing", Promise.resolve(new Uint8Array(1))],
  ])("is not one of a plain JPEG when it is %s", async (_, made) => {
    expect(reader.readHeader(await made)).toBeUndefined();
  });

  test("of a file that is not there is undefined", () => {
    expect(reader.readHeader("/nowhere/at-all.jpg")).toBeUndefined();
  });
});

describe("what is damaged", () => {
  test("is refused wherever it is cut short, and the reason is given", async () => {
    const bytes = await makeJpeg(noise);
    for (const percent of [30, 60, 90, 99]) {
      const cut = truncate(bytes, percent);
      const header = reader.readHeader(cut);
      if (header === undefined) throw new Error("the header is whole");
      const fault = reader.readRows(cut, header, new Uint8Array(noise.width * 3 * 64), () => {});
      expect(fault).toMatch(/VipsJpeg: /);
      expect(await readWithSharp(cut)).toBeUndefined();
    }
  });

  test("is refused, or gives the same pixels, as sharp has it", async () => {
    const pictures = await Promise.all([
      makeJpeg({ width: 40, height: 90, kind: "noise" }),
      makeJpeg({ width: 90, height: 40, orientation: 3 }),
      encode(33, 70, { chromaSubsampling: "4:4:4", optimiseCoding: true }),
    ]);
    const damage = fc.array(fc.tuple(fc.nat(), fc.nat(255)), { minLength: 1, maxLength: 6 });
    await fc.assert(
      fc.asyncProperty(fc.constantFrom(...pictures), damage, async (picture, hits) => {
        const bytes = new Uint8Array(picture);
        for (const [at, byte] of hits) bytes[at % bytes.length] = byte;
        const header = reader.readHeader(bytes);
        // Some damage makes it a picture of another size, or kind.
        if (header === undefined || header.width * header.height > 100_000) return;
        const expected = await readWithSharp(bytes);
        const read = readWith(bytes, 64);
        expect(read?.toString("hex")).toBe(expected?.toString("hex"));
      }),
      { numRuns: 400 },
    );
  });
});

test("what takes the rows can end the reading, and nothing stays behind in libvips", async () => {
  sharp.cache(false);
  const whole = await makeJpeg(noise);
  const cut = truncate(whole, 70);
  const header = reader.readHeader(whole);
  if (header === undefined) throw new Error("no header");
  const band = new Uint8Array(noise.width * 3 * 64);
  const before = sharp.cache().memory.current;
  for (let time = 0; time < 300; time += 1) {
    const read = () =>
      reader.readRows(whole, header, band, () => {
        throw new RangeError("enough");
      });
    expect(read).toThrow("enough");
    expect(reader.readRows(cut, header, band, () => {})).toBeDefined();
    expect(reader.readHeader(cut.subarray(0, 20))).toBeUndefined();
  }
  const held = sharp.cache();
  expect(held.items.current).toBe(0);
  expect(held.memory.current).toBeLessThanOrEqual(before + 1);
});

test("libvips's words are not kept for the next fault", async () => {
  const bytes = truncate(await makeJpeg(noise), 60);
  const header = reader.readHeader(bytes);
  if (header === undefined) throw new Error("no header");
  const faults = [1, 2, 3].map(() =>
    reader.readRows(bytes, header, new Uint8Array(noise.width * 3), () => {}),
  );
  expect(new Set(faults).size).toBe(1);
});

test("what is another image than its header said is refused, and not written", async () => {
  const header = reader.readHeader(await makeJpeg(noise));
  if (header === undefined) throw new Error("no header");
  const others = [
    await makeJpeg({ ...noise, width: 200 }),
    await makeJpeg({ ...noise, height: 149 }),
    await makeCmykJpeg(noise),
    await makeGrayJpeg(noise),
  ];
  const into = new Uint8Array(noise.width * noise.height * 3);
  for (const other of others) {
    const taken: number[] = [];
    expect(reader.readRows(other, header, into, (top) => taken.push(top))).toBeString();
    expect(taken).toEqual([]);
  }
  expect(into.every((byte) => byte === 0)).toBe(true);
});

test("no room for a row is a bug", async () => {
  const bytes = await makeJpeg(noise);
  const header = reader.readHeader(bytes);
  if (header === undefined) throw new Error("no header");
  const short = new Uint8Array(noise.width * 3 - 1);
  expect(() => reader.readRows(bytes, header, short, () => {})).toThrow(RangeError);
});

/** Read in spite of a warning: bytes before a marker that belong to nothing (ITU-T T.81, B.1.1.2). */
function withJunk(jpeg: Uint8Array): Uint8Array {
  const segment = new DataView(jpeg.buffer, jpeg.byteOffset);
  const end = 4 + segment.getUint16(4);
  return concat(jpeg.subarray(0, end), new Uint8Array(9), jpeg.subarray(end));
}

test("what libvips said of an image that was read all the same is not kept for the next fault", async () => {
  const whole = await makeJpeg(noise);
  const junk = withJunk(whole);
  expect(readWith(junk)).toEqual(readWith(whole));
  const cut = truncate(whole, 60);
  const header = reader.readHeader(cut);
  if (header === undefined) throw new Error("no header");
  const read = () => reader.readRows(cut, header, new Uint8Array(noise.width * 3), () => {});
  const before = read();
  for (let time = 0; time < 5; time += 1) readWith(junk);
  expect(read()).toBe(before);
});

test("warnings are not gathered for a log that nobody reads", async () => {
  await using folder = await temporaryFolder();
  const path = join(folder.path, "junk.jpg");
  await Bun.write(path, withJunk(await makeJpeg(noise)));
  const told = (opens: string) => {
    const code = `
      import sharp from "sharp";
      ${opens}
      const picture = sharp(${JSON.stringify(path)}, { failOn: "error" });
      picture.on("warning", (warning) => console.error(warning));
      await picture.raw().toBuffer();`;
    const cwd = join(import.meta.dir, "../..");
    return Bun.spawnSync([process.execPath, "-e", code], { cwd }).stderr.toString();
  };
  const own = `
    import { openJpegReader } from "./src/native/jpeg-reader.ts";
    if (!openJpegReader("libvips-cpp.so." + sharp.versions.vips)) throw new Error("no reader");`;
  expect(told("")).toContain("extraneous bytes");
  expect(told(own)).toBe("");
});

test("without such a library there is no reader", () => {
  expect(openJpegReader("libvips-cpp.so.0")).toBeUndefined();
});

describe("a worker reads row by row", () => {
  const options = { maxPixels: 100_000, orientation: "apply" } as const;
  test.each([
    ["a plain JPEG", makeJpeg(noise), true],
    ["a plain JPEG upside down", makeJpeg({ ...noise, orientation: 3 }), true],
    [
      "a plain JPEG on its side, whose columns come first",
      makeJpeg({ ...noise, orientation: 6 }),
      false,
    ],
    ["a progressive JPEG", makeJpeg({ ...noise, progressive: true }), false],
    ["a PNG", makePng(noise), false],
  ])("%s: %p", async (_, made, isRead) => {
    const { readRows } = await openImage({ kind: "memory", bytes: await made }, options);
    expect(readRows !== undefined).toBe(isRead);
  });

  test("and refuses what is cut short, or takes too long", async () => {
    const bytes = await makeJpeg(noise);
    const cut = await openImage({ kind: "memory", bytes: truncate(bytes, 80) }, options);
    expect(() => cut.readRows?.(() => {})).toThrow("truncated or corrupt");
    const late = await openImage({ kind: "memory", bytes }, options, 0);
    expect(() => late.readRows?.(() => {})).toThrow("to decode: send a smaller or simpler one");
  });
});

describe("in sharp's words, a plain JPEG's header", () => {
  const parts = (bytes: Bytes) => openPlainJpeg({ kind: "memory", bytes })?.header;

  test.each([undefined, 3, 6])("is what sharp says of it, orientation %p", async (orientation) => {
    const bytes = await makeJpeg(orientation === undefined ? noise : { ...noise, orientation });
    const { width, height, space, channels, depth, hasAlpha, pages, isProgressive } =
      await sharp(bytes).metadata();
    const said = { width, height, space, channels, depth, hasAlpha, pages, isProgressive };
    expect(parts(bytes)).toEqual({ ...said, orientation: orientation ?? 1 });
  });

  test("is nothing where bytes follow that are none of its own, but it is a PNG", async () => {
    expect(parts(concat(await makePng(noise), await makeJpeg(noise)))).toBeUndefined();
  });
});
