import { beforeAll, describe, expect, test } from "bun:test";
import sharp from "sharp";
import { readJpegScans } from "../../src/image/jpeg-scans.ts";
import { limits } from "../../src/limits.ts";
import { configureSharp, decodeImage } from "../../workers/decode.ts";
import { type Bytes, concat, makeGrayJpeg, makeJpeg, makePixels } from "../support/pictures.ts";

beforeAll(configureSharp);

const progressive = makeJpeg({ progressive: true });
const raw = { width: 64, height: 48, channels: 3 } as const;

/** A progressive JPEG with scans of one coefficient of one component each, as the standard allows 2,600. */
async function withScans(count: number): Promise<Bytes> {
  const picture = sharp({ create: { width: 64, height: 48, channels: 3, background: "#c08040" } });
  const bytes = new Uint8Array(await picture.jpeg({ progressive: true }).toBuffer());
  const starts: number[] = [];
  for (let at = bytes.indexOf(0xff); at !== -1; at = bytes.indexOf(0xff, at + 1)) {
    if (bytes[at + 1] === 0xda) starts.push(at);
  }
  // After the first scan of all means comes one of the luma's first coefficients, which are all zero.
  const [, from = 0, to = 0] = starts;
  const scans = Array.from({ length: count - 1 }, (_, index) => {
    const scan = bytes.slice(from, bytes.indexOf(0xff, from + 10));
    scan.set([1 + (index % 63), 1 + (index % 63), 0], 7);
    const round = Math.floor(index / 63);
    scan[9] = round === 0 ? 13 : ((14 - round) << 4) | (13 - round);
    return scan;
  });
  expect(to).toBeGreaterThan(from);
  return concat(bytes.subarray(0, from), ...scans, Uint8Array.of(0xff, 0xd9));
}

describe("a JPEG's scans and coefficients are counted:", () => {
  test.each([
    ["of one scan, 4:2:0", makeJpeg(), { scans: 1, coefficientsPerPixel: 1.5 }],
    ["gray", makeGrayJpeg(), { scans: 1, coefficientsPerPixel: 1 }],
    ["progressive", progressive, { scans: 10, coefficientsPerPixel: 1.5 }],
    ["with metadata", makeJpeg({ progressive: true, gps: true, comment: "x" }), { scans: 10 }],
    [
      "4:4:4",
      sharp(makePixels(raw), { raw }).jpeg({ chromaSubsampling: "4:4:4" }).toBuffer(),
      { coefficientsPerPixel: 3 },
    ],
    ["no JPEG", new Uint8Array([0xff]), { scans: 0, coefficientsPerPixel: 0 }],
  ])("%s", async (_, bytes, expected) => {
    expect(readJpegScans(await bytes)).toMatchObject(expected);
  });

  test("with fill bytes before a marker", async () => {
    const bytes = await progressive;
    const filled = concat(bytes.subarray(0, 2), Uint8Array.of(0xff, 0xff), bytes.subarray(2));
    expect(readJpegScans(filled)).toEqual(readJpegScans(bytes));
  });
});

describe("a JPEG of many scans, each over the whole picture,", () => {
  const decode = async (bytes: Bytes) =>
    decodeImage({ kind: "memory", bytes }, { maxPixels: 10_000, orientation: "apply" });

  test("is decoded up to the limit", async () => {
    const bytes = await withScans(limits.maxJpegScans);
    expect(readJpegScans(bytes).scans).toBe(limits.maxJpegScans);
    expect(await decode(bytes)).toMatchObject({ width: 64, height: 48 });
  });

  test("is refused beyond it, before it costs anything", async () => {
    const bytes = await withScans(limits.maxJpegScans + 1);
    await expect(decode(bytes)).rejects.toMatchObject({
      code: "undecodable-image",
      message:
        "The JPEG has 101 scans, more than the limit of 100: save it anew, without progressive scans.",
    });
  });
});
