import { expect, test } from "bun:test";
import fc from "fast-check";
import { isInShard, parseShard } from "../../src/cli/shard.ts";

test("every source is in exactly one part", () => {
  fc.assert(
    fc.property(fc.string({ unit: "binary" }), fc.integer({ min: 1, max: 50 }), (key, count) => {
      const parts = Array.from({ length: count }, (_, at) => ({ index: at + 1, count }));
      expect(parts.filter((part) => isInShard(part, key))).toHaveLength(1);
    }),
  );
});

test("parts are of about the same size, and the same in every version", () => {
  const keys = Array.from({ length: 16_000 }, (_, at) => `photos/${at}.jpg`);
  for (let index = 1; index <= 16; index += 1) {
    const size = keys.filter((key) => isInShard({ index, count: 16 }, key)).length;
    expect(Math.abs(size - 1000)).toBeLessThan(130);
  }
  // The first 48 bits of SHA-256("a.jpg"), modulo 16 and 7, by another program.
  expect(isInShard({ index: 8, count: 16 }, "a.jpg")).toBe(true);
  expect(isInShard({ index: 3, count: 7 }, "a.jpg")).toBe(true);
});

test("a part is written I/N, from 1", () => {
  expect(parseShard("3/16")).toEqual({ index: 3, count: 16 });
  expect(parseShard("1/1")).toEqual({ index: 1, count: 1 });
  for (const text of ["0/4", "5/4", "1", "a/b", "1/0", "-1/3", "1/2/3", "1/9999999", ""]) {
    expect(parseShard(text)).toBeUndefined();
  }
});
