/** How many rows libvips makes at a time: it is set in the library that sharp has loaded, and costs no pixel. */
import { expect, test } from "bun:test";
import sharp from "sharp";
import { setStripHeight } from "../../src/native/strip-height.ts";
import { makeJpeg, makePng } from "../support/pictures.ts";

const soname = `libvips-cpp.so.${sharp.versions.vips}`;

test("pixels are the same whatever the height of the strips", async () => {
  const pictures = [
    await makeJpeg({ seed: 1, width: 333, height: 257 }),
    await makePng({ seed: 2, width: 100, height: 401 }),
  ];
  const decodeAll = () =>
    Promise.all(
      pictures.map(async (bytes) => (await sharp(bytes).raw().toBuffer()).toString("hex")),
    );
  const before = await decodeAll();
  for (const rows of [16, 64, 128]) {
    expect(setStripHeight(soname, rows)).toBe(true);
    expect(await decodeAll()).toEqual(before);
  }
});

test("a height that libvips does not take is refused, and so is a library that is not there", () => {
  expect(setStripHeight(soname, Number.NaN)).toBe(false);
  expect(setStripHeight("libvips-cpp.so.0", 64)).toBe(false);
});
