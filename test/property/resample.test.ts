import { expect, test } from "bun:test";
import fc from "fast-check";
import { type Orientation, turnOf, turnUpright } from "../../src/image/orientation.ts";
import { createResampler, createStripResampler } from "../../src/image/resample.ts";
import { cutStrips } from "../../src/image/strips.ts";
import { concat, makePixels } from "../support/pictures.ts";

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

const kind = fc.constantFrom("gradient", "noise", "text");
const orientation = fc.constantFrom<Orientation[]>(1, 2, 3, 4, 5, 6, 7, 8);
const from = (min: number, max: number) => fc.integer({ min, max });

/** Resamplers that are used again, so that each finds what the last picture left in its memory. */
const resamplers = Array.from({ length: 25 }, (_, side) => createResampler(side));

/** Pictures of some sizes, and of the same sizes lying on their side. */
function pictures(width: fc.Arbitrary<number>, height: fc.Arbitrary<number>) {
  const picture = fc.record({ width, height, seed: fc.nat(), kind });
  const turned = picture.map((made) => ({ ...made, width: made.height, height: made.width }));
  return fc.oneof(picture, turned);
}

test.each([
  ["small", pictures(from(1, 30), from(1, 30)), from(1, 24), 80],
  ["the size of the crop, or one off", pictures(from(19, 21), from(19, 21)), fc.constant(20), 30],
  ["thin", pictures(from(1, 3), from(60, 400)), from(1, 12), 40],
  // Larger than what the kernels are given at a time, both ways.
  ["large", pictures(from(257, 400), from(400, 700)), from(1, 5), 8],
])(
  "a crop of a %s picture equals the middle of the upright one, plainly scaled",
  (_, picture, side, numRuns) => {
    fc.assert(
      fc.property(picture, side, orientation, (made, outSide, turn) => {
        const { width, height } = made;
        const stored = { rgb: makePixels(made), width, height, orientation: turn };
        const upright = turnUpright(stored);
        const crop = resamplers[outSide]?.(stored);
        const expected = plainly(upright.rgb, upright.width, upright.height, outSide);
        expect(crop).toEqual(Uint8Array.from(expected));
      }),
      { numRuns },
    );
  },
);

test("a picture that comes in strips gives the crop that it gives whole", () => {
  const sides = fc.record({ width: from(1, 300), height: from(1, 300), seed: fc.nat(), kind });
  fc.assert(
    fc.property(sides, from(1, 24), orientation, from(1, 9), (made, side, turn, count) => {
      const { width, height } = made;
      const rgb = makePixels(made);
      const image = { width, height, orientation: turn };
      const resampling = createStripResampler(side)(image);
      for (const strip of cutStrips(image, count, turnOf(turn).isTransposed)) {
        const rows = Array.from({ length: strip.height }, (_, y) => {
          const start = ((strip.top + y) * width + strip.left) * 3;
          return rgb.subarray(start, start + strip.width * 3);
        });
        resampling.add(strip, concat(...rows));
      }
      expect(resampling.finish()).toEqual(createResampler(side)({ ...image, rgb }));
    }),
  );
});

test("an output of one source sample more than its neighbours, by a rounding, takes none of theirs", () => {
  for (const [width, height, side] of [
    [3, 258, 11],
    [253, 3, 10],
    [125, 3, 7],
  ] as const) {
    const rgb = makePixels({ width, height, kind: "noise" });
    const crop = resamplers[side]?.({ rgb, width, height, orientation: 1 });
    expect(crop).toEqual(Uint8Array.from(plainly(rgb, width, height, side)));
  }
});

test("black and white at full contrast overshoot to 0 and 255, never beyond and around", () => {
  const rgb = Uint8Array.from({ length: 9 * 7 * 3 }, (_, i) => ((i / 3) & 1 ? 255 : 0));
  const crop = createResampler(20)({ rgb, width: 9, height: 7, orientation: 1 });
  expect([...crop]).toEqual(plainly(rgb, 9, 7, 20));
});

test("a square picture of the model's own size is not changed", () => {
  fc.assert(
    fc.property(from(1, 24), fc.nat(), (side, seed) => {
      const rgb = makePixels({ width: side, height: side, seed, kind: "noise" });
      const image = { rgb, width: side, height: side, orientation: 1 } as const;
      expect(resamplers[side]?.(image)).toEqual(rgb);
    }),
  );
});

test("a line of a million pixels, whose scaled form would fill a disk, gives its middle", () => {
  const rgb = new Uint8Array(1_000_000 * 3).map((_, i) => (Math.abs(i - 1_500_000) < 9 ? 200 : 7));
  const middle = new Uint8Array(224 * 224 * 3).fill(200);
  const resample = createResampler(224);
  for (const turn of [1, 8] as const) {
    const upright = { rgb, width: 1, height: 1_000_000, orientation: turn };
    expect(resample(upright)).toEqual(middle);
    expect(resample({ ...upright, width: 1_000_000, height: 1 })).toEqual(middle);
  }
});

test("a size that was here before, or was forgotten, gives the same pixels as for the first time", () => {
  const resample = createResampler(8);
  const images = Array.from({ length: 6 }, (_, index) => {
    const size = { width: 12 + index, height: 20 - index };
    const orientation: Orientation = index % 2 === 0 ? 1 : 6;
    return { ...size, orientation, rgb: makePixels({ ...size, seed: index, kind: "noise" }) };
  });
  for (const image of [...images, ...images.toReversed(), ...images]) {
    expect(resample(image)).toEqual(createResampler(8)(image));
  }
});
