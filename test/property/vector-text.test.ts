import { expect, test } from "bun:test";
import fc from "fast-check";
import { shortestDecimal } from "../../src/vector/shortest-decimal.ts";
import { maxVectorTextBytes, vectorText, writeVectorText } from "../../src/vector/vector-text.ts";
import { digitsOf, fewestDigits } from "../support/shortest-decimal.ts";

const exponentShift = 23;

function floatOf(bits: number): number {
  return new Float32Array(Uint32Array.of(bits).buffer)[0] ?? 0;
}

/** Every finite float32 bit pattern, subnormal ones too. */
const float32Bits = fc
  .integer({ min: 0, max: 0xffffffff })
  .map(floatOf)
  .filter((value) => Number.isFinite(value));

/** Values as embeddings have them. */
const typical = fc.float({ min: -4, max: 4, noNaN: true });

/** Float32 values next to short decimals, among which are those that need the fewest digits. */
const nearShort = fc
  .tuple(fc.integer({ min: -99_999, max: 99_999 }), fc.integer({ min: -45, max: 33 }))
  .map(([digits, exponent]) => Math.fround(digits * Number(`1e${exponent}`)))
  .filter((value) => Number.isFinite(value));

const anyFloat = fc.oneof(float32Bits, typical, nearShort);

function textOf(value: number): string {
  return new TextDecoder().decode(vectorText(Float32Array.of(value))).slice(1, -1);
}

/** What is printed, found by trying. */
function slowTextOf(vector: Float32Array): string {
  return JSON.stringify(Array.from(vector, shortestDecimal));
}

test("every float32 is read back from its text, bit for bit", () => {
  fc.assert(
    fc.property(anyFloat, (value) => {
      const back = Math.fround(Number(textOf(value)));
      expect(back === 0 ? 0 : back).toBe(value === 0 ? 0 : value);
    }),
    { numRuns: 20_000 },
  );
});

test("no shorter text would be read back to the same float32", () => {
  fc.assert(
    fc.property(anyFloat, (value) => {
      expect(digitsOf(textOf(value))).toBe(fewestDigits(value));
    }),
    { numRuns: 20_000 },
  );
});

test("powers of two and their neighbours are as short as they can be, although these lie unevenly", () => {
  for (let exponent = -149; exponent <= 127; exponent += 1) {
    const power = new Uint32Array(Float32Array.of(2 ** exponent).buffer)[0] ?? 0;
    for (const value of [power - 1, power, power + 1].map(floatOf)) {
      expect(Math.fround(Number(textOf(value)))).toBe(value);
      expect(digitsOf(textOf(-value))).toBe(fewestDigits(value));
    }
  }
});

test("among equally short texts the nearest to the value is printed", () => {
  fc.assert(
    fc.property(anyFloat, (value) => {
      if (value === 0) return;
      const text = textOf(value);
      expect(Number(text)).toBe(Number(value.toPrecision(digitsOf(text))));
    }),
    { numRuns: 5_000 },
  );
});

test("what is computed is what is found by trying, in the notation of JSON.stringify, at every exponent", () => {
  const perExponent = 400;
  const mantissas = fc.sample(fc.integer({ min: 0, max: 0x807fffff }), {
    numRuns: perExponent,
    seed: 20_261_130,
  });
  const few = [0, 1, 2, 0x3fffff, 0x400000, 0x7ffffe, 0x7fffff];
  for (let exponent = 0; exponent < 255; exponent += 1) {
    const bits = [...few, ...mantissas].map(
      (mantissa) => ((mantissa & 0x807fffff) | (exponent << exponentShift)) >>> 0,
    );
    const vector = new Float32Array(Uint32Array.from(bits).buffer);
    expect(new TextDecoder().decode(vectorText(vector))).toBe(slowTextOf(vector));
  }
});

test("values halfway between two decimals, whole numbers and short fractions are as found by trying", () => {
  const values = Array.from({ length: 20_000 }, (_, index) => [
    2_097_152 + index / 4,
    -1_048_576 - index / 8,
    8_388_608 + index / 2,
    16_777_216 + index,
    index,
    index / 10,
    index / 1000,
    -index / 100_000,
  ]);
  const vector = Float32Array.from(values.flat());
  expect(new TextDecoder().decode(vectorText(vector))).toBe(slowTextOf(vector));
});

const known: readonly (readonly [value: number, text: string])[] = [
  [0, "0"],
  [-0, "0"],
  [1, "1"],
  [-2.5, "-2.5"],
  [0.1, "0.1"],
  [0.3, "0.3"],
  [16_777_216, "16777216"],
  [2_097_152.25, "2097152.3"],
  [9_999_999, "9999999"],
  [999_999_984_306_749_440, "1000000000000000000"],
  [1e21, "1e+21"],
  [1e-6, "0.000001"],
  [1e-7, "1e-7"],
  [1.5e-7, "1.5e-7"],
  // The largest, the least normal, the largest subnormal, and the least of all.
  [3.4028234663852886e38, "3.4028235e+38"],
  [1.1754943508222875e-38, "1.1754944e-38"],
  [1.1754942106924411e-38, "1.1754942e-38"],
  [1.401298464324817e-45, "1e-45"],
  // Ryū's own tests; the second is a decimal halfway between two values, read back to the even one.
  [3.4366, "3.4366"],
  [33_554_448, "33554450"],
  [9e-10, "9e-10"],
  [8.5899e9, "8589900000"],
  [2.3509887e-38, "2.3509887e-38"],
  [Number.NaN, "null"],
  [Number.POSITIVE_INFINITY, "null"],
];

for (const [value, text] of known) {
  test(`${Object.is(value, -0) ? "-0" : value} is printed as ${text}`, () => {
    expect(textOf(Math.fround(value))).toBe(text);
  });
}

test("a vector keeps its length and its order", () => {
  const vector = Float32Array.of(0.1, -2.5, 0, 1e-38);
  expect(new TextDecoder().decode(vectorText(vector))).toBe("[0.1,-2.5,0,1e-38]");
  expect(new TextDecoder().decode(vectorText(new Float32Array()))).toBe("[]");
});

test("a vector is written where it should be, within the bytes that it may take", () => {
  fc.assert(
    fc.property(fc.array(anyFloat, { maxLength: 40 }), fc.nat({ max: 9 }), (numbers, offset) => {
      // A view that begins inside of its buffer.
      const vector = Float32Array.from([7, ...numbers]).subarray(1);
      const needed = maxVectorTextBytes(vector.length);
      const target = new Uint8Array(offset + needed + 1).fill(0x21);
      const end = writeVectorText(vector, target, offset);
      expect(end - offset).toBeLessThanOrEqual(needed);
      expect(target.subarray(0, offset).every((byte) => byte === 0x21)).toBe(true);
      expect(target[offset + needed]).toBe(0x21);
      expect(new TextDecoder().decode(target.subarray(offset, end))).toBe(slowTextOf(vector));
    }),
  );
});
