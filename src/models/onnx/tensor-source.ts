/** Where a model's tensors come from: a safetensors file, or a seed. */
export interface TensorSource {
  /**
   * Reads one tensor. Nothing is kept, so that one tensor is in memory at a time.
   *
   * @param name transformers' name, such as `visual_projection.weight`.
   * @param shape what the graph expects; Linear weights are [out, in].
   * @returns float32, row-major, of that shape.
   * @throws Error if there is no such tensor, or it has another shape or type.
   */
  read(name: string, shape: readonly number[]): Float32Array<ArrayBuffer>;
}

/** Elements of a tensor of this shape; 1 for a scalar. */
export function elementCount(shape: readonly number[]): number {
  return shape.reduce((product, length) => product * length, 1);
}
