import { expect, test } from "bun:test";
import fc from "fast-check";
import { createScoreKernel, strideOf } from "../../src/vector/score-kernel.ts";
import { cosineSimilarity } from "../../src/vector/similarity.ts";

const sizes = { noNaN: true, noDefaultInfinity: true, min: -1e6, max: 1e6 };

function lengthOf(vector: Float32Array): number {
  return Math.hypot(...vector);
}

/** Vectors of one length, none so short that its square is lost. */
const tables = fc.integer({ min: 1, max: 70 }).chain((length) =>
  fc.array(
    fc
      .float32Array({ ...sizes, minLength: length, maxLength: length })
      .filter((vector) => lengthOf(vector) > 1e-3),
    { minLength: 2, maxLength: 20 },
  ),
);

test("the kernel's cosines are those of the plain loop, for any number of dimensions", () => {
  fc.assert(
    fc.property(tables, ([query = new Float32Array(), ...vectors]) => {
      const kernel = createScoreKernel(query);
      const stride = strideOf(query.length);
      for (const [at, vector] of vectors.entries()) {
        kernel.block.set(new Uint8Array(vector.buffer), at * stride);
      }
      const scores = new Float32Array(vectors.length);
      kernel.score(vectors.length, scores);
      for (const [at, vector] of vectors.entries()) {
        expect(scores[at]).toBeCloseTo(cosineSimilarity(query, vector), 5);
      }
    }),
  );
});

test("a vector of zeros has no cosine", () => {
  const scores = new Float32Array(2);
  const kernel = createScoreKernel(Float32Array.of(1, 2, 3));
  kernel.block.set(new Uint8Array(Float32Array.of(1, 2, 3).buffer), strideOf(3));
  kernel.score(2, scores);
  expect(scores[0]).toBeNaN();
  expect(scores[1]).toBeCloseTo(1, 6);
});
