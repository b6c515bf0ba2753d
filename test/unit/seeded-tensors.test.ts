import { expect, test } from "bun:test";
import { createHash } from "node:crypto";
import { seededTensors } from "../../src/models/seeded-tensors.ts";

const name = "vision_model.encoder.layers.3.mlp.fc1.weight";

function digest(values: Float32Array): string {
  return createHash("sha256").update(new Uint8Array(values.buffer)).digest("hex");
}

test("a tensor has the same bits on every machine", () => {
  const values = seededTensors("a seed").read(name, [64, 48]);
  expect(digest(values)).toBe("45ceef9beccf0a6084a1eda4da12ecde567a8b4ac54679b278e7b84a07d94b55");
});

test("a tensor depends on the seed and on its name, not on what was read before", () => {
  const tensors = seededTensors("a seed");
  const first = digest(tensors.read(name, [8, 8]));
  expect(digest(tensors.read(`${name}.other`, [8, 8]))).not.toBe(first);
  expect(digest(tensors.read(name, [8, 8]))).toBe(first);
  expect(digest(seededTensors("another seed").read(name, [8, 8]))).not.toBe(first);
});

test("a Linear's weights spread by one over the root of its inputs, around 0", () => {
  const { mean, std } = spread(seededTensors("a seed").read(name, [400, 100]));
  expect(mean).toBeCloseTo(0, 2);
  expect(std).toBeCloseTo(0.1, 2);
});

test("a norm's weights lie around 1, and biases are small", () => {
  const tensors = seededTensors("a seed");
  const weight = spread(tensors.read("vision_model.pre_layrnorm.weight", [4000]));
  const bias = spread(tensors.read("vision_model.pre_layrnorm.bias", [4000]));
  expect(weight.mean).toBeCloseTo(1, 2);
  expect(weight.std).toBeCloseTo(0.05, 2);
  expect(bias.mean).toBeCloseTo(0, 2);
  expect(bias.std).toBeCloseTo(0.02, 2);
});

function spread(values: Float32Array): { readonly mean: number; readonly std: number } {
  const mean = values.reduce((sum, value) => sum + value, 0) / values.length;
  const variance = values.reduce((sum, value) => sum + (value - mean) ** 2, 0) / values.length;
  return { mean, std: Math.sqrt(variance) };
}
