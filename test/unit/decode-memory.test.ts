import { expect, test } from "bun:test";
import { join } from "node:path";
import { makeLargePicture, pixelsMemory } from "../bench/preprocess.ts";
import { temporaryFolder } from "../support/tiny-clip.ts";

const MB = 1e6;

test.each([
  ["JPEG", 1],
  ["PNG", 1],
  ["progressive JPEG", 2],
  ["interlaced PNG", 2],
  ["GIF", 6],
] as const)(
  "100 megapixels of %s that lie on their side take less than 500 MB, and give it back",
  async (kind, decodings) => {
    await using folder = await temporaryFolder();
    const path = join(folder.path, "large");
    await makeLargePicture(path, kind, 6);
    const { peak, kept, strips } = await pixelsMemory(path);
    expect(strips).toBe(decodings);
    // The pixels, or what the decoder holds of them, are 300 MB: less would mean that nothing was measured.
    expect(peak).toBeGreaterThan(250 * MB);
    expect(peak).toBeLessThan(500 * MB);
    expect(kept).toBeLessThan(100 * MB);
  },
  60_000,
);

test("100 megapixels of JPEG that stand upright are never in memory all at once", async () => {
  await using folder = await temporaryFolder();
  const path = join(folder.path, "large");
  await makeLargePicture(path, "JPEG", 1);
  const { peak, strips } = await pixelsMemory(path);
  expect(strips).toBe(1);
  expect(peak).toBeLessThan(100 * MB);
}, 60_000);
