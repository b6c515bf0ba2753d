/** Crops of a computed picture in 17 sizes, made once by Pillow 9.4. */
import { expect, test } from "bun:test";
import { createResampler } from "../../src/image/resample.ts";
import golden from "./synthetic-resize.json";

const resample = createResampler(224);

/** p(x, y, c) = ((x·7 + y·13 + c·29) ^ ((x·y) >> 3)) & 255. */
function paint(width: number, height: number): Uint8Array {
  const rgb = new Uint8Array(width * height * 3);
  let index = 0;
  for (let y = 0; y < height; y++) {
    for (let x = 0; x < width; x++) {
      for (let c = 0; c < 3; c++) rgb[index++] = (x * 7 + y * 13 + c * 29) ^ ((x * y) >> 3);
    }
  }
  return rgb;
}

for (const { w, h, rgb224_sha256 } of golden.cases) {
  test(`${w}×${h} is resized and cropped as Pillow does it, bit for bit`, () => {
    const crop = resample({ rgb: paint(w, h), width: w, height: h, orientation: 1 });
    expect(new Bun.CryptoHasher("sha256").update(crop).digest("hex")).toBe(rgb224_sha256);
  });
}
