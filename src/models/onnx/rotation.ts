/** A rotation of channels that spreads what stands out in a few of them over all. */
import type { GraphBuilder } from "./graph.ts";

/**
 * Rotates vectors of `width` numbers, an odd m times a power of two, by a Walsh-Hadamard matrix of that power, which
 * takes n · log n additions, and across the m parts, if they are several, by the reflection I - 2/m · J. Both are
 * symmetric and orthogonal, so the rotation is its own inverse and changes no vector's length.
 *
 * @param values any number of matrices, [width, inner], whose columns are rotated in place.
 * @see Ashkboos et al. 2024, arXiv:2404.00456, which rotates language models by Hadamard matrices.
 */
export function rotate(values: Float32Array, width: number, inner = 1): void {
  const power = largestPower(width);
  for (let start = 0; start < values.length; start += width * inner) {
    const matrix = values.subarray(start, start + width * inner);
    transform(matrix, power, inner);
    if (power < width) reflect(matrix, width / power);
  }
}

/** The fast Walsh-Hadamard transform of each `power` values, `inner` apart. */
function transform(values: Float32Array, power: number, inner: number): void {
  for (let half = inner; half < power * inner; half *= 2) {
    for (let block = 0; block < values.length; block += 2 * half) {
      for (let index = block; index < block + half; index += 1) {
        const first = values[index] ?? 0;
        const second = values[index + half] ?? 0;
        values[index] = first + second;
        values[index + half] = first - second;
      }
    }
  }
  const scale = 1 / Math.sqrt(power);
  for (let index = 0; index < values.length; index += 1) {
    values[index] = scale * (values[index] ?? 0);
  }
}

/** Takes twice the mean of `count` equally long parts away from each of them. */
function reflect(values: Float32Array, count: number): void {
  const length = values.length / count;
  for (let index = 0; index < length; index += 1) {
    let sum = 0;
    for (let at = index; at < values.length; at += length) sum += values[at] ?? 0;
    const twiceTheMean = (2 * sum) / count;
    for (let at = index; at < values.length; at += length) {
      values[at] = (values[at] ?? 0) - twiceTheMean;
    }
  }
}

/** Adds the same rotation of rows, float32 [rows, width], to a graph: two products with small matrices. */
export function rotateRows(graph: GraphBuilder, rows: string, width: number): string {
  const right = Math.min(largestPower(width), 2 ** Math.round(Math.log2(width) / 2));
  const left = width / right;
  const cut = graph.node("Reshape", [rows, graph.integers(-1, left, right)]);
  const within = graph.node("MatMul", [cut, rotationMatrix(graph, right)]);
  const across = graph.node("MatMul", [rotationMatrix(graph, left), within]);
  return graph.node("Reshape", [across, graph.integers(-1, width)]);
}

/** float32, [width, width]. */
function rotationMatrix(graph: GraphBuilder, width: number): string {
  const matrix = new Float32Array(width ** 2);
  for (let index = 0; index < width; index += 1) matrix[index * (width + 1)] = 1;
  rotate(matrix, width, width);
  return graph.constant(matrix, [width, width]);
}

/** Of two, among a number's divisors. */
function largestPower(width: number): number {
  return width & -width;
}
