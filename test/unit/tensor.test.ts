import { describe, expect, test } from "bun:test";
import { normalizedLevels, rgbToPixelValues } from "../../src/image/tensor.ts";
import { clipInput } from "../support/tiny-clip.ts";

const levels = normalizedLevels(clipInput);

/** Float32 arithmetic, one rounding a step. */
function inFloat32(value: number, mean: number, standardDeviation: number): number {
  const [scaled = 0, m = 0, s = 1] = new Float32Array([value * (1 / 255), mean, standardDeviation]);
  const [centred = 0] = new Float32Array([scaled - m]);
  const [normalized = 0] = new Float32Array([centred / s]);
  return normalized;
}

describe("pixel values", () => {
  test("are scaled in float64 and normalised in float32, each channel by its own constants", () => {
    const rgb = Uint8Array.from({ length: 256 * 3 }, (_, index) => Math.floor(index / 3));
    const out = new Float32Array(256 * 3);
    rgbToPixelValues(rgb, levels, out, 0);
    const samples = Array.from({ length: 256 }, (_, value) => value);
    expect([...out]).toEqual([
      ...samples.map((value) => inFloat32(value, 0.48145466, 0.26862954)),
      ...samples.map((value) => inFloat32(value, 0.4578275, 0.26130258)),
      ...samples.map((value) => inFloat32(value, 0.40821073, 0.27577711)),
    ]);
  });

  test("lie in planes from the offset on, and nothing else is written", () => {
    const out = new Float32Array(2 + 12 + 1).fill(9);
    const [red, green, blue] = [255, 0, 128];
    rgbToPixelValues(
      Uint8Array.from([red, green, blue, 0, 0, 0, 0, 0, 0, red, green, blue]),
      levels,
      out,
      2,
    );
    const [high, low, middle] = [
      inFloat32(red, 0.48145466, 0.26862954),
      inFloat32(0, 0.48145466, 0.26862954),
      inFloat32(blue, 0.40821073, 0.27577711),
    ];
    expect([...out.subarray(0, 6)]).toEqual([9, 9, high, low, low, high]);
    expect([out[10], out[13], out[14]]).toEqual([middle, middle, 9]);
  });

  test("never run over the end of the batch", () => {
    const rgb = new Uint8Array(3);
    expect(() => rgbToPixelValues(rgb, levels, new Float32Array(5), 3)).toThrow(RangeError);
    expect(() => rgbToPixelValues(rgb, levels, new Float32Array(5), -1)).toThrow(RangeError);
  });
});
