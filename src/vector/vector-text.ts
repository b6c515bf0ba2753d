/**
 * A float32 vector as text, written straight to bytes: each number in the shortest decimal form that reads back
 * to the same float32, in the notation of `JSON.stringify`.
 *
 * A number is scaled in float64 to nine digits before the point. Nearly always that tells for sure how many of
 * them can go without coming nearer to one of its neighbours; where it is too close to call, and where numbers
 * are rare, the slow way is taken. Grisu3 does so, with integers of 64 bits.
 *
 * What follows from a number's digits is computed rather than branched on: a processor guesses half of such
 * branches wrong, which took more than half of the time.
 *
 * @see Florian Loitsch 2010, Printing Floating-Point Numbers Quickly and Accurately with Integers (Grisu3).
 * @see ECMA-262, `Number::toString`, for the notation.
 */
import { shortestDecimal } from "./shortest-decimal.ts";

/** Bytes that a number takes at most, with the comma after it, or that are written on the way. */
const maxNumberBytes = 24;
/** Digits that always suffice (IEEE 754-2019, 5.12.2). */
const maxDigits = 9;
/** The least number of too many digits. */
const tooLarge = 10 ** maxDigits;
/**
 * What float64 does not decide, in units of the ninth digit: three roundings of a number below 10⁹ are off by
 * less than 4·10⁻⁷. Readers round a decimal to float64 first, which moves it by less than 10⁻⁷.
 */
const doubt = 1e-6;
/** Zeros behind the point, before the first digit, that JavaScript writes at most. */
const maxZeros = 5;

/** Biased exponents of a float32; the last is that of infinity and of what is no number. */
const exponents = 256;
/** How often the least number of an exponent is multiplied by ten to have nine digits before the point. */
const shifts = Int32Array.from({ length: exponents }, (_, exponent) => {
  const [, decimalExponent] = (2 ** (exponent - 127)).toExponential().split("e");
  return maxDigits - 1 - Number(decimalExponent);
});
/** Powers of ten: of every shift, and of the one below the least. */
const leastPower = Math.min(...shifts) - 1;
const powers = Float64Array.from({ length: Math.max(...shifts) - leastPower + 1 }, (_, index) =>
  Number(`1e${leastPower + index}`),
);
/** Half of the distance between neighbours, by their exponent. */
const halfGaps = Float64Array.from({ length: exponents }, (_, exponent) => 2 ** (exponent - 151));

const code = (character: string) => character.charCodeAt(0);
const minus = code("-");
const point = code(".");
const zero = code("0");
/** Both digits of the numbers below a hundred. */
const tens = Uint8Array.from({ length: 100 }, (_, pair) => zero + Math.floor(pair / 10));
const ones = Uint8Array.from({ length: 100 }, (_, pair) => zero + (pair % 10));

/**
 * A vector as a JSON array.
 *
 * @param vector float32, [dimensions]; what is not finite becomes `null`, as in `JSON.stringify`.
 * @returns ASCII, in a buffer of its own.
 */
export function vectorText(vector: Float32Array): Uint8Array<ArrayBuffer> {
  const bytes = new Uint8Array(maxVectorTextBytes(vector.length));
  return bytes.slice(0, writeVectorText(vector, bytes, 0));
}

/** Bytes that {@link writeVectorText} needs at most. */
export function maxVectorTextBytes(dimensions: number): number {
  return 2 + dimensions * maxNumberBytes;
}

/**
 * Writes a vector as {@link vectorText} makes it.
 *
 * @param target has room for {@link maxVectorTextBytes} at `offset`.
 * @returns the offset after it.
 */
export function writeVectorText(vector: Float32Array, target: Uint8Array, offset: number): number {
  const bits = new Uint32Array(vector.buffer, vector.byteOffset, vector.length);
  let at = offset + 1;
  for (let index = 0; index < vector.length; index += 1) {
    at = writeNumber(vector[index] ?? 0, bits[index] ?? 0, target, at);
    target[at++] = code(",");
  }
  // Over the last comma.
  const end = vector.length === 0 ? at : at - 1;
  target[offset] = code("[");
  target[end] = code("]");
  return end + 1;
}

function writeNumber(value: number, bits: number, target: Uint8Array, offset: number): number {
  const exponent = (bits >>> 23) & 0xff;
  // A power of two has its neighbours unevenly around it, and what is subnormal has fewer digits.
  const isOrdinary = (bits & 0x7fffff) !== 0 && exponent > 0 && exponent < exponents - 1;
  if (!isOrdinary) return writeSlowly(value, target, offset);
  const magnitude = Math.abs(value);
  const most = shifts[exponent] ?? 0;
  const shift = magnitude * (powers[most - leastPower] ?? 0) < tooLarge ? most : most - 1;
  const power = powers[shift - leastPower] ?? 0;
  const scaled = magnitude * power;
  const dropped = countDroppable(scaled, (halfGaps[exponent] ?? 0) * power);
  const pointAt = maxDigits - shift;
  const isCommon = dropped >= 0 && pointAt <= maxDigits && pointAt >= -maxZeros;
  if (!isCommon) return writeSlowly(value, target, offset);
  const rounded = Math.floor(scaled * (powers[-dropped - leastPower] ?? 0) + 0.5);
  const digits = (rounded * (powers[dropped - leastPower] ?? 0)) | 0;
  if (digits >= tooLarge) return writeSlowly(value, target, offset);
  target[offset] = minus;
  const at = offset + (bits >>> 31);
  return pointAt <= 0
    ? writeBelowOne(digits, maxDigits - dropped, pointAt, target, at)
    : writeFromOne(digits, maxDigits - dropped, pointAt, target, at);
}

/**
 * How many of a number's nine digits can go: the nearest shorter decimal still lies within half of the distance
 * to the number's neighbours.
 *
 * @returns less than 0 where that cannot be told.
 */
function countDroppable(scaled: number, halfGap: number): number {
  let rest = scaled | 0;
  let remainder = scaled - rest;
  if (Math.abs(remainder - 0.5) < doubt) return -1;
  let dropped = 0;
  for (let unit = 1; dropped < maxDigits; dropped += 1, unit *= 10) {
    const tenth = (rest * 0.1) | 0;
    remainder += ((rest - Math.imul(tenth, 10)) | 0) * unit;
    rest = tenth;
    const toMiddle = Math.abs(remainder - 5 * unit);
    const distance = 5 * unit - toMiddle;
    if (distance > halfGap + doubt) break;
    if (distance > halfGap - doubt || toMiddle < doubt) return -1;
  }
  return dropped;
}

function writeSlowly(value: number, target: Uint8Array, offset: number): number {
  const text = JSON.stringify(shortestDecimal(value));
  for (let index = 0; index < text.length; index += 1) {
    target[offset + index] = text.charCodeAt(index);
  }
  return offset + text.length;
}

/** `0.00123`: the first `count` of nine digits, behind a point and as many zeros as `pointAt` is below 0. */
function writeBelowOne(
  digits: number,
  count: number,
  pointAt: number,
  target: Uint8Array,
  offset: number,
): number {
  for (let place = 0; place < 2 + maxZeros; place += 1) target[offset + place] = zero;
  target[offset + 1] = point;
  const at = offset + 2 - pointAt;
  writeNineDigits(digits, target, at);
  return at + count;
}

/** `12.3` or `1200`: the first `count` of nine digits, with a point behind the first `pointAt`. */
function writeFromOne(
  digits: number,
  count: number,
  pointAt: number,
  target: Uint8Array,
  offset: number,
): number {
  if (count <= pointAt) {
    writeNineDigits(digits, target, offset);
    return offset + pointAt;
  }
  writeNineDigits(digits, target, offset + 1);
  for (let place = 0; place < pointAt; place += 1) {
    target[offset + place] = target[offset + place + 1] ?? 0;
  }
  target[offset + pointAt] = point;
  return offset + count + 1;
}

function writeNineDigits(digits: number, target: Uint8Array, at: number): void {
  // Products are several times as fast as quotients, and of such numbers as exact.
  const first = (digits * 1e-8) | 0;
  const eight = (digits - Math.imul(first, 100_000_000)) | 0;
  const high = (eight * 1e-4) | 0;
  const low = (eight - Math.imul(high, 10_000)) | 0;
  target[at] = zero + first;
  writeFourDigits(high, target, at + 1);
  writeFourDigits(low, target, at + 5);
}

function writeFourDigits(digits: number, target: Uint8Array, at: number): void {
  const high = (digits * 0.01) | 0;
  const low = (digits - Math.imul(high, 100)) | 0;
  target[at] = tens[high] ?? 0;
  target[at + 1] = ones[high] ?? 0;
  target[at + 2] = tens[low] ?? 0;
  target[at + 3] = ones[low] ?? 0;
}
