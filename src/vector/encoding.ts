/** How a float32 vector becomes text. */

/** A float32 needs at most nine significant digits to be read back (IEEE 754-2019, 5.12.2). */
const maxDigits = 9;

/**
 * The numbers to print for a float32 vector: `JSON.stringify` writes each in the shortest decimal form
 * that reads back to the same float32, where it would write up to 17 digits for the float32 itself.
 *
 * @param vector float32, [dimensions], finite.
 * @returns float64 values, each of which rounds to the float32 at its place.
 */
export function toShortestDecimals(vector: Float32Array): number[] {
  return Array.from(vector, shortestDecimal);
}

/** A float32 vector as base64 of its little-endian bytes; every platform that is served is little-endian. */
export function toBase64({ buffer, byteOffset, byteLength }: Float32Array): string {
  return new Uint8Array(buffer, byteOffset, byteLength).toBase64();
}

function shortestDecimal(value: number): number {
  // Most float32 values need 7 to 9 digits, so the search starts there and goes down only from 7.
  for (let digits = 7; digits < maxDigits; digits += 1) {
    const decimal = Number(value.toPrecision(digits));
    if (Math.fround(decimal) === value) return digits === 7 ? shortened(value, decimal) : decimal;
  }
  // Above a power of two the float32 values lie twice as far apart as below it, so the next decimal up
  // may do where the nearest does not.
  const upwards = Number((value * (1 + 2 ** -25)).toPrecision(maxDigits - 1));
  return Math.fround(upwards) === value ? upwards : Number(value.toPrecision(maxDigits));
}

/** Drops digits for as long as the value survives. */
function shortened(value: number, sevenDigits: number): number {
  let shortest = sevenDigits;
  for (let digits = 6; digits > 0; digits -= 1) {
    const decimal = Number(value.toPrecision(digits));
    if (Math.fround(decimal) !== value) return shortest;
    shortest = decimal;
  }
  return shortest;
}
