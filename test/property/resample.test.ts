import { expect, test } from "bun:test";
import fc from "fast-check";
import { resizeAndCrop } from "../../src/image/resample.ts";
import { makePixels } from "../support/pictures.ts";

type Channel = number[][];

/** Source positions and fixed-point weights of one output sample. */
function weightsOf(
  output: number,
  inSize: number,
  outSize: number,
): [at: number, weight: number][] {
  const scale = inSize / outSize;
  const reduction = Math.max(1, scale);
  const centre = (output + 0.5) * scale;
  const from = Math.max(0, Math.trunc(centre - 2 * reduction + 0.5));
  const to = Math.min(inSize, Math.trunc(centre + 2 * reduction + 0.5));
  const taps: [number, number][] = [];
  for (let at = from; at < to; at++) taps.push([at, keys((at - centre + 0.5) * (1 / reduction))]);
  let sum = 0;
  for (const [, weight] of taps) sum += weight;
  return taps.map(([at, weight]) => {
    const units = (weight / sum) * 2 ** 22;
    return [at, Math.sign(units) * Math.floor(Math.abs(units) + 0.5)];
  });
}

function keys(offset: number): number {
  const x = Math.abs(offset);
  if (x < 1) return (1.5 * x - 2.5) * x * x + 1;
  return x < 2 ? (((x - 5) * x + 8) * x - 4) * -0.5 : 0;
}

function weigh(taps: [at: number, weight: number][], sampleAt: (at: number) => number): number {
  let sum = 2 ** 21;
  for (const [at, weight] of taps) sum += weight * sampleAt(at);
  return Math.min(255, Math.max(0, Math.floor(sum / 2 ** 22)));
}

/** The whole picture scaled, then the whole of it cropped: slow, and as the contract words it. */
function plainly(rgb: Uint8Array, width: number, height: number, side: number): number[] {
  const short = Math.min(width, height);
  const outWidth = Math.trunc((side * width) / short);
  const outHeight = Math.trunc((side * height) / short);
  const left = Math.floor((outWidth - side) / 2);
  const top = Math.floor((outHeight - side) / 2);
  const range = (length: number) => Array.from({ length }, (_, index) => index);
  const planes = [0, 1, 2].map((c) => {
    const rows: Channel = range(height).map((y) =>
      range(outWidth).map((x) =>
        weigh(weightsOf(x, width, outWidth), (at) => rgb[(y * width + at) * 3 + c] ?? Number.NaN),
      ),
    );
    return range(outHeight).map((y) => {
      const taps = weightsOf(y, height, outHeight);
      return range(outWidth).map((x) => weigh(taps, (at) => rows[at]?.[x] ?? Number.NaN));
    });
  });
  return range(side * side * 3).map((index) => {
    const x = Math.floor(index / 3) % side;
    const y = Math.floor(index / 3 / side);
    return planes[index % 3]?.[top + y]?.[left + x] ?? Number.NaN;
  });
}

const pictures = fc.record({
  width: fc.integer({ min: 1, max: 30 }),
  height: fc.integer({ min: 1, max: 30 }),
  seed: fc.nat(),
  kind: fc.constantFrom("gradient", "noise", "text"),
});

test("a crop equals the middle of the plainly scaled picture, for any size, content and side", () => {
  fc.assert(
    fc.property(pictures, fc.integer({ min: 1, max: 24 }), (picture, side) => {
      const rgb = makePixels(picture);
      const { width, height } = picture;
      expect([...resizeAndCrop(rgb, width, height, side)]).toEqual(
        plainly(rgb, width, height, side),
      );
    }),
    { numRuns: 60 },
  );
});

test("black and white at full contrast overshoot to 0 and 255, never beyond and around", () => {
  const stripes = Uint8Array.from({ length: 9 * 7 * 3 }, (_, i) => ((i / 3) & 1 ? 255 : 0));
  expect([...resizeAndCrop(stripes, 9, 7, 20)]).toEqual(plainly(stripes, 9, 7, 20));
});

test("a square picture of the model's own size is not changed", () => {
  fc.assert(
    fc.property(fc.integer({ min: 1, max: 40 }), fc.nat(), (side, seed) => {
      const rgb = makePixels({ width: side, height: side, seed, kind: "noise" });
      expect(resizeAndCrop(rgb, side, side, side)).toEqual(rgb);
    }),
  );
});

test("a line of a million pixels, whose scaled form would fill a disk, gives its middle", () => {
  const rgb = new Uint8Array(1_000_000 * 3).map((_, i) => (Math.abs(i - 1_500_000) < 9 ? 200 : 7));
  const middle = new Uint8Array(224 * 224 * 3).fill(200);
  expect(resizeAndCrop(rgb, 1, 1_000_000, 224)).toEqual(middle);
  expect(resizeAndCrop(rgb, 1_000_000, 1, 224)).toEqual(middle);
});
