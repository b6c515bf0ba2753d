import { beforeAll, describe, expect, test } from "bun:test";
import { turnUpright } from "../../src/image/orientation.ts";
import { configureSharp, decodeImage } from "../../workers/decode.ts";
import { type Bytes, makeJpeg, makePixels, makeTiff, makeWebp } from "../support/pictures.ts";

beforeAll(configureSharp);

const size = { width: 33, height: 21 };
const noise = { ...size, kind: "noise", seed: 2 } as const;

/** Where the upright picture's pixel (x, y) is stored, for each orientation: EXIF 2.32, section 4.6.4. */
const storedAt: Readonly<Record<number, (x: number, y: number) => [x: number, y: number]>> = {
  1: (x, y) => [x, y],
  2: (x, y) => [size.width - 1 - x, y],
  3: (x, y) => [size.width - 1 - x, size.height - 1 - y],
  4: (x, y) => [x, size.height - 1 - y],
  5: (x, y) => [y, x],
  6: (x, y) => [y, size.height - 1 - x],
  7: (x, y) => [size.width - 1 - y, size.height - 1 - x],
  8: (x, y) => [size.width - 1 - y, x],
};

function upright(stored: Uint8Array, orientation: number): Uint8Array {
  const isTurned = orientation >= 5;
  const width = isTurned ? size.height : size.width;
  return stored.map((_, index) => {
    const pixel = Math.floor(index / 3);
    const from = storedAt[orientation]?.(pixel % width, Math.floor(pixel / width)) ?? [0, 0];
    return stored[(from[1] * size.width + from[0]) * 3 + (index % 3)] ?? 0;
  });
}

/** Decodes, and turns what is to be turned. */
async function decode(bytes: Bytes, orientation: "apply" | "ignore") {
  const image = await decodeImage({ kind: "memory", bytes }, { maxPixels: 10_000, orientation });
  return { ...turnUpright(image), facts: image.facts };
}

describe.each([1, 2, 3, 4, 5, 6, 7, 8])("EXIF orientation %d", (orientation) => {
  const uprightSize = orientation >= 5 ? { width: 21, height: 33 } : size;

  test("of a WebP is applied bit for bit, and the facts keep the stored size", async () => {
    const bytes = await makeWebp({ ...noise, orientation, lossless: true });
    const image = await decode(bytes, "apply");
    expect(image).toMatchObject({ ...uprightSize, facts: size });
    expect([...image.rgb]).toEqual([...upright(makePixels(noise), orientation)]);
  });

  test("of a JPEG turns its pixels and changes none", async () => {
    const stored = await decode(await makeJpeg(noise), "apply");
    const image = await decode(await makeJpeg({ ...noise, orientation }), "apply");
    expect(image).toMatchObject(uprightSize);
    expect([...image.rgb]).toEqual([...upright(stored.rgb, orientation)]);
  });

  test("of a TIFF is applied in any case, once, as Pillow applies it while loading", async () => {
    for (const mode of ["apply", "ignore"] as const) {
      const image = await decode(await makeTiff({ ...noise, orientation }), mode);
      expect(image).toMatchObject({ ...uprightSize, facts: size });
      expect([...image.rgb]).toEqual([...upright(makePixels(noise), orientation)]);
    }
  });
});

test.each([0, 9, 255])("the invalid orientation %d turns nothing", async (orientation) => {
  const plain = await decode(await makeJpeg(noise), "apply");
  const image = await decode(await makeJpeg({ ...noise, orientation }), "apply");
  expect(image).toMatchObject(size);
  expect([...image.rgb]).toEqual([...plain.rgb]);
});
