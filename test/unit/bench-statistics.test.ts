import { expect, test } from "bun:test";
import fc from "fast-check";
import { lumpRate, median, percentile, withRange, withTail } from "../bench/statistics.ts";

const numbers = fc.array(fc.integer({ min: -1000, max: 1000 }), { minLength: 1 });

test("a percentile is the smallest value that enough of the values do not exceed", () => {
  fc.assert(
    fc.property(numbers, fc.integer({ min: 1, max: 100 }), (values, percent) => {
      const found = percentile(values, percent);
      const share = (limit: (value: number) => boolean) => values.filter(limit).length;
      expect(values).toContain(found);
      expect(share((value) => value <= found) * 100).toBeGreaterThanOrEqual(
        percent * values.length,
      );
      expect(share((value) => value < found) * 100).toBeLessThan(percent * values.length);
    }),
  );
});

test("the median of an odd number of values is the middle one, of an even number the mean of two", () => {
  expect(median([9, 1, 5])).toBe(5);
  expect(median([9, 1, 5, 2])).toBe(3.5);
});

test("statistics leave the order of the measurements alone", () => {
  const values = [3, 1, 2];
  withRange(values, 0);
  withTail(values, 0);
  expect(values).toEqual([3, 1, 2]);
});

test("a summary shows the middle, the range and the tail", () => {
  const values = Array.from({ length: 200 }, (_, index) => index + 1);
  expect(withRange(values, 1)).toBe("100.5 (1.0 to 200.0)");
  expect(withTail(values, 0)).toBe("p50 100, p99 198, longest 200");
});

test("nothing measured is an error, not a zero", () => {
  expect(() => median([])).toThrow(RangeError);
  expect(() => percentile([], 50)).toThrow(RangeError);
});

test("what ends in lumps has the same rate wherever the time is cut off", () => {
  // Every 150 ms a batch of 8, whose answers go out 1 ms apart.
  const all = Array.from({ length: 400 }, (_, index) => (index >> 3) * 150 + (index & 7));
  fc.assert(
    fc.property(
      fc.integer({ min: 0, max: 1500 }),
      fc.integer({ min: 600, max: 4000 }),
      (from, ms) => {
        const seen = all.filter((at) => at >= from && at < from + ms);
        expect(lumpRate(seen)).toBeCloseTo(8000 / 150, 6);
      },
    ),
  );
});

test("too few lumps have no rate", () => {
  expect(lumpRate([])).toBeUndefined();
  expect(lumpRate([0, 1, 2, 150, 151])).toBeUndefined();
});
