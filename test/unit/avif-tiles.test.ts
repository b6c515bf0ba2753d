import { expect, test } from "bun:test";
import fc from "fast-check";
import { countBoxes, countTilePixels } from "../../src/image/avif-tiles.ts";
import { limits } from "../../src/limits.ts";
import { avifBombs } from "../hostile/bombs/avif.ts";
import { ascii, bigEndian, concat, makeAvif } from "../support/pictures.ts";

const bombs = new Map((await avifBombs()).map(({ name, bytes }) => [name, bytes]));

test.each([
  ["an AVIF put together by hand, sound", 0],
  ["an AVIF of 4×4 tiles, sound", 4 * 4 * 40 * 24],
  ["an AVIF of 4000×4000 whose 256 tiles are each as large", 256 * 4000 * 4000],
  ["an AVIF of tiles that are itself", 0],
  ["an AVIF of tiles that are not there", 0],
  ["an AVIF of two that are each the other", 0],
])("%s: its tiles' pixels are counted each time that they are decoded", (name, pixels) => {
  expect(countTilePixels(bombs.get(name) ?? new Uint8Array())).toBe(pixels);
});

test("tiles that are copies of another count as what is copied", () => {
  const bytes = bombs.get("an AVIF of 4000×4000 whose tiles are each another's copy");
  // 64 tiles, and the copy itself.
  expect(countTilePixels(bytes ?? new Uint8Array())).toBe(65 * 4000 * 4000);
});

test("an AVIF of no tiles has none", async () => {
  expect(countTilePixels(await makeAvif())).toBe(0);
});

test("whatever the bytes are, it counts to an end", () => {
  const grid = bombs.get("an AVIF of 4×4 tiles, sound") ?? new Uint8Array();
  const edits = fc.array(fc.tuple(fc.nat(grid.length - 1), fc.nat(255)), { maxLength: 8 });
  fc.assert(
    fc.property(edits, fc.nat(grid.length), (changes, length) => {
      const bytes = grid.slice(0, length);
      for (const [at, byte] of changes) if (at < length) bytes[at] = byte;
      expect(countTilePixels(bytes)).toBeGreaterThanOrEqual(0);
      expect(countBoxes(bytes, 10)).toBeLessThanOrEqual(11);
    }),
    { numRuns: 500 },
  );
});

test("boxes are counted wherever they lie, and no further than is asked", async () => {
  const avif = await makeAvif();
  const ordinary = countBoxes(avif, 1_000);
  expect(ordinary).toBeGreaterThan(5);
  for (const name of ["behind it", "inside its meta box"]) {
    const bytes = bombs.get(`an AVIF with two million boxes ${name}`) ?? new Uint8Array();
    expect(countBoxes(bytes, 4_096)).toBe(4_097);
  }
});

test("ordinary AVIFs have far fewer boxes than are allowed, and one more box is one more", async () => {
  const size = fc.record({
    ...{ width: fc.integer({ min: 1, max: 80 }), height: fc.integer({ min: 1, max: 80 }) },
    orientation: fc.integer({ min: 1, max: 8 }),
  });
  await fc.assert(
    fc.asyncProperty(size, fc.nat(20), async (options, more) => {
      const avif = await makeAvif(options);
      const boxes = countBoxes(avif, limits.maxAvifBoxes);
      expect(boxes).toBeLessThan(limits.maxAvifBoxes / 40);
      const free = concat(bigEndian(8), ascii("free"));
      const longer = concat(avif, ...new Array<Uint8Array>(more).fill(free));
      expect(countBoxes(longer, limits.maxAvifBoxes)).toBe(boxes + more);
    }),
    { numRuns: 20 },
  );
});
