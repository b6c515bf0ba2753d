/** Largest difference of two vectors, relative to the second one's largest component. */
export function relativeDifference(actual: ArrayLike<number>, expected: ArrayLike<number>): number {
  if (actual.length !== expected.length) {
    throw new RangeError(`${actual.length} components against ${expected.length}`);
  }
  let largest = 0;
  let difference = 0;
  for (let index = 0; index < expected.length; index += 1) {
    const wanted = expected[index] ?? Number.NaN;
    largest = Math.max(largest, Math.abs(wanted));
    difference = Math.max(difference, Math.abs((actual[index] ?? Number.NaN) - wanted));
  }
  return difference / largest;
}
