/** Float weights as signed bytes, one scale a column. */

/** A Linear's weight, transposed and quantised: weight[out, in] ≈ codes[in, out] · scales[out]. */
export interface QuantizedWeight {
  /** int8, [in, out], each of magnitude `maxCode` at most. */
  readonly codes: Int8Array<ArrayBuffer>;
  /** float32, [out]; 0 where all weights of an output are 0. */
  readonly scales: Float32Array<ArrayBuffer>;
}

/**
 * Quantises each output's weights by themselves, symmetrically, to the nearest code: the largest of them becomes
 * `maxCode`.
 *
 * @param weight float32, [out, in], row-major.
 * @param maxCode largest magnitude of a code, 127 at most.
 * @throws Error if a weight is not finite.
 */
export function quantizeWeight(
  weight: Float32Array,
  outputs: number,
  maxCode: number,
): QuantizedWeight {
  const inputs = weight.length / outputs;
  const codes = new Int8Array(weight.length);
  const scales = new Float32Array(outputs);
  const factors = new Float64Array(outputs);
  for (let output = 0; output < outputs; output += 1) {
    const largest = largestOf(weight, output * inputs, inputs);
    if (!Number.isFinite(largest)) throw new Error("a weight is not a finite number");
    if (largest === 0) continue;
    scales[output] = largest / maxCode;
    factors[output] = maxCode / largest;
  }
  // Some outputs at a time, so that neither what is read nor what is written leaves the processor's nearest cache.
  for (let from = 0; from < outputs; from += blockOutputs) {
    const to = Math.min(from + blockOutputs, outputs);
    for (let input = 0; input < inputs; input += 1) {
      for (let output = from; output < to; output += 1) {
        const exact = (weight[output * inputs + input] ?? 0) * (factors[output] ?? 0);
        codes[input * outputs + output] = Math.floor(exact + 0.5);
      }
    }
  }
  return { codes, scales };
}

const blockOutputs = 64;

/** Largest magnitude of some numbers; NaN if one is. */
function largestOf(values: Float32Array, start: number, count: number): number {
  let largest = 0;
  for (let index = start; index < start + count; index += 1) {
    const magnitude = Math.abs(values[index] ?? Number.NaN);
    // A comparison alone would pass over NaN.
    if (Number.isNaN(magnitude)) return magnitude;
    if (magnitude > largest) largest = magnitude;
  }
  return largest;
}
