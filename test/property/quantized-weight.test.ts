/** Weights as bytes: near what they were, and never so large that a sum of two products saturates where it must not. */
import { describe, expect, test } from "bun:test";
import fc from "fast-check";
import { int8ArithmeticFor, maxWeightCode } from "../../src/models/onnx/arithmetic.ts";
import { quantizeWeight } from "../../src/models/onnx/quantized-weight.ts";

const weights = fc
  .tuple(fc.integer({ min: 1, max: 70 }), fc.integer({ min: 1, max: 9 }))
  .chain(([outputs, inputs]) =>
    fc.record({
      outputs: fc.constant(outputs),
      inputs: fc.constant(inputs),
      weight: fc.float32Array({
        minLength: outputs * inputs,
        maxLength: outputs * inputs,
        noNaN: true,
        noDefaultInfinity: true,
        min: -(2 ** 99),
        max: 2 ** 99,
      }),
    }),
  );

for (const arithmetic of ["int8", "int8-7bit"] as const) {
  const maxCode = maxWeightCode(arithmetic);

  test(`${arithmetic}: every weight is within half a step of its code, and the largest has the largest code`, () => {
    fc.assert(
      fc.property(weights, ({ weight, outputs, inputs }) => {
        const { codes, scales } = quantizeWeight(weight, outputs, maxCode);
        for (let output = 0; output < outputs; output += 1) {
          const row = weight.subarray(output * inputs, (output + 1) * inputs);
          const largest = Math.max(...row.map(Math.abs));
          // Scales are float32: tiny ones have few digits left.
          fc.pre(largest === 0 || largest > 1e-30);
          const ofRow = Array.from(row, (_, input) => codes[input * outputs + output] ?? 0);
          expect(Math.max(...ofRow.map(Math.abs))).toBe(largest === 0 ? 0 : maxCode);
          const step = largest / maxCode;
          for (const [input, code] of ofRow.entries()) {
            const back = code * (scales[output] ?? 0);
            expect(Math.abs(back - (row[input] ?? 0))).toBeLessThanOrEqual(step * 0.50001);
          }
        }
      }),
    );
  });
}

test("the sum of two products fits 16 bits with 7-bit weights, whatever the codes, and not with 8-bit ones", () => {
  const codes = fc.integer({ min: 0, max: 255 });
  const pairOf = (maxCode: number) => {
    const code = fc.integer({ min: -maxCode, max: maxCode });
    return fc.tuple(codes, code, codes, code).map(([a, b, c, d]) => a * b + c * d);
  };
  const fits = (sum: number) => sum >= -32_768 && sum <= 32_767;
  fc.assert(fc.property(pairOf(maxWeightCode("int8-7bit")), fits), { numRuns: 2_000 });
  expect(fits(2 * 255 * maxWeightCode("int8-7bit"))).toBeTrue();
  expect(fits(2 * 255 * maxWeightCode("int8"))).toBeFalse();
});

test("a weight that is not finite is refused", () => {
  for (const wrong of [Number.NaN, Number.POSITIVE_INFINITY]) {
    expect(() => quantizeWeight(Float32Array.of(1, wrong, 3), 1, 127)).toThrow("not a finite");
  }
});

describe("weights have 7 bits", () => {
  test.each([
    ["x64", ["avx2"], "int8-7bit"],
    ["x64", ["avx2", "avx512f"], "int8-7bit"],
    ["x64", [], "int8-7bit"],
    ["x64", ["avx2", "avx_vnni"], "int8"],
    ["x64", ["avx2", "avx512f", "avx512_vnni"], "int8"],
    ["arm64", ["asimd"], "int8"],
    ["arm64", ["asimd", "asimddp", "i8mm"], "int8"],
  ] as const)(
    "only where the processor needs it: %s with %p gives %s",
    (arch, features, expected) => {
      expect(int8ArithmeticFor(arch, features)).toBe(expected);
    },
  );
});
