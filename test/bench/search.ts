import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { openSearchIndex } from "../../src/store/search-index.ts";
import { cosineSimilarity } from "../../src/vector/similarity.ts";
import { withTail } from "./statistics.ts";

const pictures = 100_000;
const dimensions = 512;
const searches = 20;
const matches = 10;

/** How long the exact search takes over many pictures, from the file, beside a plain loop over them in memory. */
export async function* search(): AsyncGenerator<string> {
  const folder = await mkdtemp(join(tmpdir(), "imagesvc-bench-search-"));
  try {
    using index = await openSearchIndex(join(folder, "index.sqlite"), () => {});
    const vectors = Array.from({ length: pictures }, randomVector);
    for (const [at, vector] of vectors.entries()) index.put(`${at}.jpg`, "1", vector);
    const [ofIndex, ofLoop, ratios]: [number[], number[], number[]] = [[], [], []];
    // The first of each warms up.
    for (let round = 0; round <= searches; round += 1) {
      const query = randomVector();
      const indexMs = timeOf(() => index.best(query, matches));
      const loopMs = timeOf(() => vectors.map((vector) => cosineSimilarity(query, vector)));
      if (round === 0) continue;
      ofIndex.push(indexMs);
      ofLoop.push(loopMs);
      ratios.push(loopMs / indexMs);
    }
    yield `best ${matches} of ${pictures} pictures, float32 [${dimensions}], ${searches} searches, ms`;
    yield `the index, its file read each time: ${withTail(ofIndex, 1)}; wanted: p50 under 50`;
    yield `a plain loop over vectors in memory: ${withTail(ofLoop, 1)}`;
    yield `ratio: ${withTail(ratios, 1)}`;
  } finally {
    await rm(folder, { recursive: true, force: true });
  }
}

function randomVector(): Float32Array {
  return Float32Array.from({ length: dimensions }, () => Math.random() - 0.5);
}

function timeOf(work: () => unknown): number {
  const startedAt = performance.now();
  work();
  return performance.now() - startedAt;
}
