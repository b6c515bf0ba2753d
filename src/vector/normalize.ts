/**
 * Scales an embedding to unit length, so that a dot product is a cosine similarity.
 *
 * @param vector shape [dimensions], unitless; left untouched.
 * @returns a new vector of the same shape with L2 norm 1 (within 1e-5).
 * @throws RangeError if any component is not finite or all are zero: a broken model, not a bad request.
 * @see Radford et al. 2021, arXiv:2103.00020, figure 3.
 */
export function normalizeL2(vector: Float32Array): Float32Array {
  let sumOfSquares = 0;
  for (const component of vector) sumOfSquares += component * component;
  if (!Number.isFinite(sumOfSquares) || sumOfSquares === 0) {
    throw new RangeError(`cannot normalise: the sum of squares is ${sumOfSquares}`);
  }
  const scale = 1 / Math.sqrt(sumOfSquares);
  return vector.map((component) => component * scale);
}
