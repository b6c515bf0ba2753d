import { expect, test } from "bun:test";
import fc from "fast-check";
import { softmax } from "../../src/vector/softmax.ts";

const scores = fc.array(fc.double({ min: -1e6, max: 1e6, noNaN: true }), {
  minLength: 1,
  maxLength: 64,
});

test("probabilities are from 0 to 1 and sum to 1, however far apart the scores are", () => {
  fc.assert(
    fc.property(scores, (given) => {
      const probabilities = softmax(given);
      expect(probabilities.every((one) => one >= 0 && one <= 1)).toBe(true);
      expect(probabilities.reduce((sum, one) => sum + one, 0)).toBeCloseTo(1, 12);
    }),
  );
});

test("a greater score never has the smaller probability", () => {
  fc.assert(
    fc.property(scores, (given) => {
      const probabilities = softmax(given);
      const ranked = given.map((score, index) => ({ score, share: probabilities[index] ?? -1 }));
      ranked.sort((a, b) => a.score - b.score);
      const shares = ranked.map(({ share }) => share);
      expect(shares).toEqual(shares.toSorted((a, b) => a - b));
    }),
  );
});

test("what is added to every score changes nothing", () => {
  const [less = 0, more = 0] = softmax([0, Math.log(3)]);
  expect(less).toBeCloseTo(0.25, 12);
  expect(more).toBeCloseTo(0.75, 12);
  for (const [index, share] of softmax([1000, 1000 + Math.log(3)]).entries()) {
    expect(share).toBeCloseTo([less, more][index] ?? -1, 12);
  }
});

test("no scores have no probabilities", () => {
  expect(softmax([])).toEqual([]);
});
