/** How close embeddings must be to those of the reference. */
import { expect } from "bun:test";
import { cosineSimilarity } from "../../src/vector/similarity.ts";
import { relativeDifference } from "../support/difference.ts";

/** Two embeddings of the same thing: float32, [dimensions]. */
export type Pair = readonly [ours: Float32Array, theirs: Float32Array];

/** Prints how far apart embeddings are at most, and checks each; there must be some. */
export function expectAllSame(what: string, pairs: readonly Pair[]): void {
  expect(pairs).not.toBeEmpty();
  const difference = Math.max(...pairs.map(([ours, theirs]) => relativeDifference(ours, theirs)));
  const cosine = Math.min(...pairs.map(([ours, theirs]) => cosineSimilarity(ours, theirs)));
  process.stderr.write(
    `${what}: ${pairs.length} compared; largest difference ${difference.toExponential(2)} of the largest number, smallest cosine ${cosine.toFixed(12)}\n`,
  );
  for (const pair of pairs) expectSame(...pair);
}

/** Checks that one embedding is the reference's: within 1e-4 of the largest number, and in direction. */
export function expectSame(...[ours, theirs]: Pair): void {
  expect(relativeDifference(ours, theirs)).toBeLessThan(1e-4);
  expect(cosineSimilarity(ours, theirs)).toBeGreaterThan(0.999999);
}
