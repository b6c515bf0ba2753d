import { shortestDecimal } from "../../src/vector/shortest-decimal.ts";
import { vectorText } from "../../src/vector/vector-text.ts";
import { withRange } from "./statistics.ts";

const rounds = 7;
const vectorsARound = 2_000;
const lengths = [512, 1536];

/** Ways to write a vector. */
const ways: readonly {
  readonly name: string;
  readonly write: (vector: Float32Array) => Uint8Array;
}[] = [
  { name: "straight to bytes", write: vectorText },
  { name: "JSON.stringify of float64s", write: (vector) => encode(Array.from(vector)) },
  {
    name: "JSON.stringify of decimals found by trying",
    write: (vector) => encode(Array.from(vector, shortestDecimal)),
  },
];

function encode(numbers: readonly number[]): Uint8Array {
  return new TextEncoder().encode(JSON.stringify(numbers));
}

/** How much it costs to write a vector as JSON: the ways in turn, on one thread. */
export async function* floatText(): AsyncGenerator<string> {
  for (const length of lengths) {
    const vectors = Array.from({ length: 64 }, () => makeVector(length));
    const [example = new Float32Array()] = vectors;
    const us: number[][] = ways.map(() => []);
    // The first round warms up.
    for (let round = 0; round <= rounds; round += 1) {
      for (const [index, { write }] of ways.entries()) {
        const took = timeOf(write, vectors);
        if (round > 0) us[index]?.push(took);
      }
    }
    yield `${length} numbers as embeddings have them, ${rounds} rounds of ${vectorsARound} vectors: µs a vector`;
    const [own = []] = us;
    for (const [index, { name, write }] of ways.entries()) {
      const took = us[index] ?? [];
      const ratios = took.map((other, round) => other / (own[round] ?? Number.NaN));
      yield `${name}: ${withRange(took, 1)}, ${write(example).length} bytes; over the first: ${withRange(ratios, 2)}`;
    }
  }
}

function timeOf(write: (vector: Float32Array) => unknown, vectors: readonly Float32Array[]) {
  const startedMs = performance.now();
  for (let done = 0; done < vectorsARound; done += 1) {
    write(vectors[done % vectors.length] ?? new Float32Array());
  }
  return ((performance.now() - startedMs) * 1000) / vectorsARound;
}

/** About normally distributed, as CLIP's numbers are. */
function makeVector(length: number): Float32Array {
  return Float32Array.from({ length }, () => {
    const sum = Array.from({ length: 6 }, Math.random).reduce((a, b) => a + b);
    return (sum - 3) * 0.6;
  });
}
