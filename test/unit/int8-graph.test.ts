/** The int8 arithmetic in onnxruntime, against the same sums in TypeScript, and a tower of it against fp32. */
import { describe, expect, test } from "bun:test";
import { mkdir, writeFile } from "node:fs/promises";
import { join } from "node:path";
import type { Int8Arithmetic } from "../../src/models/onnx/arithmetic.ts";
import { maxWeightCode } from "../../src/models/onnx/arithmetic.ts";
import { placeWeights } from "../../src/models/onnx/external-data.ts";
import { createGraphBuilder } from "../../src/models/onnx/graph.ts";
import { INT8_OPSET, int8Linear } from "../../src/models/onnx/int8-linear.ts";
import type { LinearLayer } from "../../src/models/onnx/linear.ts";
import { encodeModel } from "../../src/models/onnx/model-proto.ts";
import { quantizeWeight } from "../../src/models/onnx/quantized-weight.ts";
import { int8FilesOf } from "../../src/models/prepared.ts";
import { cosineSimilarity } from "../../src/vector/similarity.ts";
import { loadOnnxruntime, openSession } from "../../workers/onnxruntime.ts";
import { createSession } from "../../workers/session.ts";
import { writeModel } from "../../workers/write-model.ts";
import { relativeDifference } from "../support/difference.ts";
import { plainImageEmbedding } from "../support/plain-clip.ts";
import { temporaryFolder, tinyClip, tinyTensors } from "../support/tiny-clip.ts";

const arithmetics = ["int8", "int8-7bit"] as const;
const inputs = 20;
const outputs = 12;

/** Rows of several magnitudes, one of them of zeros. */
function makeRows(count: number, atLeast = Number.NEGATIVE_INFINITY): Float32Array {
  const values = tinyTensors.read("rows", [count, inputs]);
  return values.map((value, index) => {
    const row = Math.floor(index / inputs);
    return row === 1 ? 0 : Math.max(atLeast, value * 10 ** (row % 4));
  });
}

/** What the layer should give, from whole numbers: codes, their sums, and one scale for each row and column. */
function plainInt8(rows: Float32Array, layer: LinearLayer, arithmetic: Int8Arithmetic): number[] {
  const weight = tinyTensors.read(layer.weight.name, [outputs, inputs]);
  const { codes, scales } = quantizeWeight(weight, outputs, maxWeightCode(arithmetic));
  const bias = layer.bias && tinyTensors.read(layer.bias.name, [outputs]);
  const { inputFactor = 1, outputFactor = 1, inputMinimum } = layer;
  return Array.from({ length: rows.length / inputs }, (_, row) => {
    const x = rows.subarray(row * inputs, (row + 1) * inputs);
    const scale =
      inputMinimum === undefined
        ? Math.max(...x.map(Math.abs)) / 127
        : Math.max(Math.max(...x) / 239, -inputMinimum / 16);
    const quantized = Array.from(x, (value) => (scale === 0 ? 0 : Math.round(value / scale)));
    return Array.from({ length: outputs }, (_, output) => {
      const sum = quantized.reduce(
        (total, code, input) => total + code * (codes[input * outputs + output] ?? 0),
        0,
      );
      const product = sum * scale * (scales[output] ?? 0) * inputFactor;
      return outputFactor * (product + (bias?.[output] ?? 0));
    });
  }).flat();
}

/** Runs one layer in onnxruntime. */
async function run(rows: Float32Array, layer: LinearLayer, arithmetic: Int8Arithmetic) {
  await using folder = await temporaryFolder();
  const graph = createGraphBuilder("layer", INT8_OPSET);
  const x = graph.input({ name: "x", type: "float32", shape: ["rows", inputs] });
  int8Linear(graph, arithmetic)(x, layer, "y");
  graph.output({ name: "y", type: "float32", shape: ["rows", outputs] });
  const model = graph.finish();
  const path = join(folder.path, "layer.onnx");
  const { placed, totalBytes } = placeWeights(model);
  const data = new Uint8Array(totalBytes);
  for (const { weight, offset } of placed) {
    const { buffer, byteLength } = weight.read(tinyTensors);
    data.set(new Uint8Array(buffer, 0, byteLength), offset);
  }
  await writeFile(`${path}.data`, data);
  await writeFile(path, encodeModel(model, "layer.onnx.data"));
  const { Tensor } = await loadOnnxruntime();
  const session = await openSession(path, 1, {});
  const shape = [rows.length / inputs, inputs];
  const { y } = await session.run({ x: new Tensor("float32", rows, shape) });
  const values = Array.from(y?.data ?? [], Number);
  await session.release();
  return values;
}

const layer: LinearLayer = {
  weight: { name: "one.weight" },
  bias: { name: "one.bias" },
  inputs,
  outputs,
};

for (const arithmetic of arithmetics) {
  describe(arithmetic, () => {
    test("a layer gives what the same sums of whole numbers give, a row of zeros too", async () => {
      const rows = makeRows(9);
      for (const one of [layer, { ...layer, inputFactor: 0.25, outputFactor: 1.702 }]) {
        const expected = plainInt8(rows, one, arithmetic);
        const got = await run(rows, one, arithmetic);
        // A value halfway between two codes may go to either: one step of one product.
        expect(relativeDifference(got, expected)).toBeLessThan(1e-3);
        const ofZeros = [got, expected].map((all) => all.slice(outputs, 2 * outputs));
        expect(relativeDifference(ofZeros[0] ?? [], ofZeros[1] ?? [])).toBeLessThan(1e-6);
      }
    });

    test("so does one whose input is known not to go below a number", async () => {
      const rows = makeRows(9, -0.25);
      const { bias: _, ...unbiased } = layer;
      const one = { ...unbiased, inputMinimum: -0.25 };
      const got = await run(rows, one, arithmetic);
      expect(relativeDifference(got, plainInt8(rows, one, arithmetic))).toBeLessThan(1e-3);
    });

    test("the image tower is near a plain implementation of CLIP", async () => {
      await using tower = await openTiny(arithmetic, 1);
      for (const seed of ["one", "two"]) {
        const expected = plainImageEmbedding(tinyClip, tinyTensors, picture(seed));
        const vector = await tower.session.run(picture(seed), 1);
        expect(cosineSimilarity(vector, Float32Array.from(expected))).toBeGreaterThan(0.99);
      }
    });

    test("a picture's vector is the same alone and in a batch of 8, on one thread and on two, bit for bit", async () => {
      const seeds = ["one", "two", "three", "four", "five", "six", "seven", "eight"];
      await using first = await openTiny(arithmetic, 1);
      const alone: number[] = [];
      for (const seed of seeds) alone.push(...(await first.session.run(picture(seed), 1)));
      for (const threads of [1, 2]) {
        await using tower = await openTiny(arithmetic, threads);
        const batch = new Float32Array(seeds.flatMap((seed) => Array.from(picture(seed))));
        const together = await tower.session.run(batch, seeds.length);
        expect(Array.from(together)).toEqual(alone);
      }
    });
  });
}

test("7 and 8 bits are different towers, as the weights are", async () => {
  await using eight = await openTiny("int8", 1);
  await using seven = await openTiny("int8-7bit", 1);
  const vectors = [
    await eight.session.run(picture("one"), 1),
    await seven.session.run(picture("one"), 1),
  ] as const;
  expect(Array.from(vectors[0])).not.toEqual(Array.from(vectors[1]));
});

/** Pixels as if prepared: float32, [3, side, side]. */
function picture(seed: string): Float32Array<ArrayBuffer> {
  const { side } = tinyClip.vision;
  return tinyTensors.read(`${seed}.bias`, [3, side, side]).map((value) => value * 3);
}

async function openTiny(arithmetic: Int8Arithmetic, threads: number) {
  const folder = await temporaryFolder();
  const files = int8FilesOf(join(folder.path, "tiny"), arithmetic);
  await mkdir(join(files.imageTower, ".."), { recursive: true });
  await writeModel(files, tinyClip, tinyTensors);
  const { dimensions, vision } = tinyClip;
  const { imageTower } = files;
  const session = await createSession({ imageTower, dimensions, side: vision.side, threads });
  return {
    session,
    [Symbol.asyncDispose]: async () => {
      await session.release();
      await folder[Symbol.asyncDispose]();
    },
  };
}
