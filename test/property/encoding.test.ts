import { expect, test } from "bun:test";
import fc from "fast-check";
import { toShortestDecimals } from "../../src/vector/encoding.ts";
import { digitsOf, fewestDigits } from "../support/shortest-decimal.ts";

/** Every finite float32 bit pattern, subnormal ones too. */
const float32Bits = fc
  .integer({ min: 0, max: 0xffffffff })
  .map((bits) => new Float32Array(Uint32Array.of(bits).buffer)[0] ?? 0)
  .filter((value) => Number.isFinite(value));

/** Values as embeddings have them. */
const typical = fc.float({ min: -4, max: 4, noNaN: true });

function textOf(value: number): string {
  return JSON.stringify(toShortestDecimals(Float32Array.of(value)).at(0));
}

test("every float32 is read back from its text, bit for bit", () => {
  fc.assert(
    fc.property(fc.oneof(float32Bits, typical), (value) => {
      const back = Math.fround(Number(textOf(value)));
      expect(back === 0 ? 0 : back).toBe(value === 0 ? 0 : value);
    }),
    { numRuns: 20_000 },
  );
});

test("no shorter text would be read back to the same float32", () => {
  fc.assert(
    fc.property(fc.oneof(float32Bits, typical), (value) => {
      expect(digitsOf(textOf(value))).toBe(fewestDigits(value));
    }),
    { numRuns: 20_000 },
  );
});

test("powers of two are as short as they can be, although their neighbours lie unevenly", () => {
  for (let exponent = -149; exponent <= 127; exponent += 1) {
    const value = 2 ** exponent;
    expect(Math.fround(Number(textOf(value)))).toBe(value);
    expect(digitsOf(textOf(-value))).toBe(fewestDigits(value));
  }
});

test("among equally short texts the nearest to the value is printed", () => {
  fc.assert(
    fc.property(fc.oneof(float32Bits, typical), (value) => {
      if (value === 0) return;
      const text = textOf(value);
      expect(Number(text)).toBe(Number(value.toPrecision(digitsOf(text))));
    }),
    { numRuns: 5_000 },
  );
});

test("a vector keeps its length and its order", () => {
  expect(toShortestDecimals(Float32Array.of(0.1, -2.5, 0, 1e-38))).toEqual([0.1, -2.5, 0, 1e-38]);
  expect(toShortestDecimals(new Float32Array())).toEqual([]);
});
