/** A float32 needs at most nine significant digits to be read back (IEEE 754-2019, 5.12.2). */
const maxDigits = 9;

/**
 * The number to print for a float32: its text in JSON is the shortest that reads back to the same float32, also
 * by way of float64, and of several such texts the nearest to the value. It is found by trying; vectors are
 * written by `vector-text.ts`, which tries the few values that it cannot tell by arithmetic.
 *
 * @param value a float32.
 * @returns a float64 that rounds to it.
 */
export function shortestDecimal(value: number): number {
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
