import { describe, expect, test } from "bun:test";
import fc from "fast-check";
import { normalizeL2 } from "../../src/vector/normalize.ts";
import { cosineSimilarity } from "../../src/vector/similarity.ts";

const component = fc.float({ min: -100, max: 100, noNaN: true });
const pair = fc
  .array(fc.tuple(component, component), { minLength: 1, maxLength: 40 })
  .map((rows) =>
    [rows.map(([a]) => a), rows.map(([, b]) => b)].map((row) => Float32Array.from(row)),
  )
  .filter((vectors) => vectors.every((vector) => Math.hypot(...vector) > 1e-3));

describe("the cosine of two vectors", () => {
  test("is the dot product of their unit vectors, either way round", () => {
    fc.assert(
      fc.property(pair, ([a = new Float32Array(), b = new Float32Array()]) => {
        const unit = normalizeL2(b);
        const product = normalizeL2(a).reduce((sum, x, i) => sum + x * (unit[i] ?? 0), 0);
        expect(cosineSimilarity(a, b)).toBeCloseTo(product, 5);
        expect(cosineSimilarity(b, a)).toBe(cosineSimilarity(a, b));
      }),
    );
  });

  test("is 1 with itself, -1 with its opposite, and never beyond", () => {
    fc.assert(
      fc.property(pair, ([a = new Float32Array()]) => {
        expect(cosineSimilarity(a, a)).toBeCloseTo(1, 10);
        expect(cosineSimilarity(a, a)).toBeLessThanOrEqual(1);
        expect(
          cosineSimilarity(
            a,
            a.map((x) => -x),
          ),
        ).toBeCloseTo(-1, 10);
      }),
    );
  });

  test("is refused for other shapes, and for vectors that point nowhere", () => {
    const one = new Float32Array([1, 0]);
    for (const other of [[1], [0, 0], [Number.NaN, 1]]) {
      expect(() => cosineSimilarity(one, Float32Array.from(other))).toThrow(RangeError);
    }
  });
});
