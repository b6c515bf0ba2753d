/**
 * The fewest significant digits from which a float32 can be read back, found the slow way: every
 * decimal of one digit near the value is tried, then of two, and so on.
 */
export function fewestDigits(value: number): number {
  if (value === 0) return 1;
  for (let digits = 1; digits < 9; digits += 1) {
    const [mantissa = "", exponent = "0"] = Math.abs(value)
      .toExponential(digits - 1)
      .split("e");
    const middle = BigInt(mantissa.replace(".", ""));
    for (const candidate of [middle - 1n, middle, middle + 1n]) {
      const text = `${candidate}e${Number(exponent) - (digits - 1)}`;
      if (Math.fround(Number(text)) === Math.abs(value)) return digits;
    }
  }
  return 9;
}

/** The significant digits of a number's text in JSON. */
export function digitsOf(text: string): number {
  const [mantissa = ""] = text.toLowerCase().split("e");
  return mantissa.replace(/[-.]/g, "").replace(/^0+/, "").replace(/0+$/, "").length || 1;
}
