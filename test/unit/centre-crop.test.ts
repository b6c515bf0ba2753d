/** Which part of a picture is cut out of its centre. */
import { expect, test } from "bun:test";
import fc from "fast-check";
import { centreCrop } from "../../src/image/centre-crop.ts";
import { tapsOfCrop } from "../../src/image/taps.ts";

const pixels = fc.integer({ min: 1, max: 5000 });

test("the crop is inside the picture, and what the resampler reads but for the reach of its kernel", () => {
  fc.assert(
    fc.property(pixels, pixels, (width, height) => {
      const crop = centreCrop(width, height, 224);
      const short = Math.min(width, height);
      for (const [start, length, size] of [
        [crop.left, crop.width, width],
        [crop.top, crop.height, height],
      ] as const) {
        expect(start).toBeGreaterThanOrEqual(0);
        expect(start + length).toBeLessThanOrEqual(size);
        const { begin, end } = tapsOfCrop(size, short, 224, false);
        const scale = size / Math.trunc((224 * size) / short);
        const reach = 2 * Math.max(1, scale) + scale + 1;
        expect(Math.abs(begin - start)).toBeLessThanOrEqual(reach);
        expect(Math.abs(end - start - length)).toBeLessThanOrEqual(reach);
      }
    }),
  );
});

test("a picture that is square is seen whole", () => {
  expect(centreCrop(640, 640, 224)).toEqual({ left: 0, top: 0, width: 640, height: 640 });
});
