import { createHash } from "node:crypto";
import { elementCount, type TensorSource } from "./onnx/tensor-source.ts";

/** Mean and standard deviation of a tensor's values. */
interface Distribution {
  readonly mean: number;
  readonly std: number;
}

/** Standard deviation of the sum of four independent bytes: √(4 · (256² − 1) / 12). */
const FOUR_BYTES_STD = Math.sqrt((256 ** 2 - 1) / 3);
/** Mean of that sum. */
const FOUR_BYTES_MEAN = 4 * 127.5;

/**
 * Stand-ins for a CLIP model's weights. A tensor depends on the seed and on its own name and shape
 * only, and is the same bit for bit on every machine: integer arithmetic, then one product, one sum
 * and one rounding, which IEEE 754 defines exactly.
 *
 * @param seed any text; another seed gives another model.
 */
export function seededTensors(seed: string): TensorSource {
  return {
    read: (name, shape) =>
      drawNormal(seedState(`${seed}/${name}`), elementCount(shape), distributionOf(name, shape)),
  };
}

/**
 * Spreads under which activations keep their size through the layers, pictures differ clearly, and a
 * raw embedding's norm is near 10, as with the published weights.
 */
function distributionOf(name: string, shape: readonly number[]): Distribution {
  const isNorm = /norm\d?\.weight$/.test(name);
  if (isNorm) return { mean: 1, std: 0.05 };
  if (name.endsWith(".bias")) return { mean: 0, std: 0.02 };
  if (/embedding(\.weight)?$/.test(name) && !name.includes("patch")) return { mean: 0, std: 0.02 };
  const fanIn = elementCount(shape) / (shape[0] ?? 1);
  const gain = name.endsWith("projection.weight") ? 0.45 : 1;
  return { mean: 0, std: gain / Math.sqrt(fanIn) };
}

/** 128 bits of generator state out of a text. */
function seedState(text: string): readonly [number, number, number, number] {
  const digest = createHash("sha256").update(text).digest();
  return [
    digest.readInt32LE(0),
    digest.readInt32LE(4),
    digest.readInt32LE(8),
    digest.readInt32LE(12),
  ];
}

/**
 * Draws nearly normal values: each is the sum of the four bytes of one output of xoshiro128++, scaled.
 *
 * @returns float32, [count].
 * @see https://prng.di.unimi.it/xoshiro128plusplus.c
 */
function drawNormal(
  [a, b, c, d]: readonly [number, number, number, number],
  count: number,
  { mean, std }: Distribution,
): Float32Array<ArrayBuffer> {
  let [s0, s1, s2, s3] = [a, b, c, d];
  const scale = std / FOUR_BYTES_STD;
  const values = new Float32Array(count);
  for (let index = 0; index < count; index += 1) {
    const sum = (s0 + s3) | 0;
    const drawn = (((sum << 7) | (sum >>> 25)) + s0) | 0;
    const shifted = s1 << 9;
    s2 ^= s0;
    s3 ^= s1;
    s1 ^= s2;
    s0 ^= s3;
    s2 ^= shifted;
    s3 = (s3 << 11) | (s3 >>> 21);
    const bytes = (drawn & 255) + ((drawn >>> 8) & 255) + ((drawn >>> 16) & 255) + (drawn >>> 24);
    values[index] = mean + (bytes - FOUR_BYTES_MEAN) * scale;
  }
  return values;
}
