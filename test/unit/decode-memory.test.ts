import { expect, test } from "bun:test";
import { join } from "node:path";
import { makeLargePicture, pixelsMemory } from "../bench/preprocess.ts";
import { temporaryFolder } from "../support/tiny-clip.ts";

const MB = 1e6;

test.each(["jpeg", "png"] as const)(
  "100 megapixels of %s that lie on their side take less than 500 MB, and give it back",
  async (format) => {
    await using folder = await temporaryFolder();
    const path = join(folder.path, "large");
    await makeLargePicture(path, format, 6);
    const { peak, kept } = await pixelsMemory(path);
    // The pixels alone are 300 MB: less would mean that nothing was measured.
    expect(peak).toBeGreaterThan(250 * MB);
    expect(peak).toBeLessThan(500 * MB);
    expect(kept).toBeLessThan(100 * MB);
  },
  60_000,
);
