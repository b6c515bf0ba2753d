/** The int8 arithmetic in onnxruntime, against the same sums in TypeScript, and a tower of it against fp32. */
import { describe, expect, test } from "bun:test";
import { mkdir } from "node:fs/promises";
import { join } from "node:path";
import { normalizedLevels, rgbToPixelValues } from "../../src/image/tensor.ts";
import type { Int8Arithmetic } from "../../src/models/onnx/arithmetic.ts";
import { maxWeightCode } from "../../src/models/onnx/arithmetic.ts";
import { createGraphBuilder } from "../../src/models/onnx/graph.ts";
import { imageTower } from "../../src/models/onnx/image-tower.ts";
import { INT8_OPSET, int8Linear } from "../../src/models/onnx/int8-linear.ts";
import { float32Linear, type LinearLayer } from "../../src/models/onnx/linear.ts";
import { layerNorms, rotatedNorms } from "../../src/models/onnx/norms.ts";
import { int8PatchEmbedding } from "../../src/models/onnx/pixel-codes.ts";
import { quantizeWeight } from "../../src/models/onnx/quantized-weight.ts";
import { encode } from "../../src/models/onnx/transformer.ts";
import { int8FilesOf } from "../../src/models/prepared.ts";
import { cosineSimilarity } from "../../src/vector/similarity.ts";
import { createSession } from "../../workers/session.ts";
import { writeModel } from "../../workers/write-model.ts";
import { relativeDifference } from "../support/difference.ts";
import { plainImageEmbedding } from "../support/plain-clip.ts";
import { runGraph } from "../support/run-graph.ts";
import { clipInput, temporaryFolder, tinyClip, tinyTensors } from "../support/tiny-clip.ts";

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

/** What the layer should give, from whole numbers: codes, their sums, and a scale for each row and column. */
function plainInt8(rows: Float32Array, layer: LinearLayer, arithmetic: Int8Arithmetic): number[] {
  const weight = tinyTensors.read(layer.weight.name, [outputs, inputs]);
  const { codes, scales } = quantizeWeight(weight, outputs, maxWeightCode(arithmetic));
  const bias = layer.bias && tinyTensors.read(layer.bias.name, [outputs]);
  const { inputFactor = 1, outputFactor = 1, inputMinimum, inputLimit } = layer;
  const scaleOf = (x: Float32Array): number => {
    if (inputLimit !== undefined) return inputLimit / 127;
    if (inputMinimum !== undefined) return Math.max(Math.max(...x) / 239, -inputMinimum / 16);
    return Math.max(...x.map(Math.abs)) / 127;
  };
  return Array.from({ length: rows.length / inputs }, (_, row) => {
    const x = rows.subarray(row * inputs, (row + 1) * inputs);
    const scale = scaleOf(x);
    const zeroPoint = inputMinimum === undefined ? 128 : 16;
    const codeOf = (value: number): number =>
      Math.min(255, Math.max(0, Math.round(value / scale) + zeroPoint));
    const quantized = Array.from(x, (value) => (scale === 0 ? 0 : codeOf(value) - zeroPoint));
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
  const graph = createGraphBuilder("layer", INT8_OPSET);
  const x = graph.input({ name: "x", type: "float32", shape: ["rows", inputs] });
  int8Linear(graph, arithmetic)(x, layer, "y");
  graph.output({ name: "y", type: "float32", shape: ["rows", outputs] });
  return await runGraph(graph.finish(), rows, [rows.length / inputs, inputs]);
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

    test("and one whose input has a limit, which cuts off what lies beyond", async () => {
      const rows = tinyTensors.read("rows", [9, inputs]).map((value) => 4 * value);
      const one = { ...layer, inputLimit: 0.5, inputFactor: 0.25, outputFactor: 1.702 };
      expect(rows.filter((value) => Math.abs(value) > 0.5).length).toBeGreaterThan(5);
      expect(rows.filter((value) => Math.abs(value) < 0.4).length).toBeGreaterThan(50);
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

test("a picture's samples, whichever they are, are what its patches are multiplied as: nothing is lost", async () => {
  const side = 16;
  const rgb = Uint8Array.from({ length: 3 * side ** 2 }, (_, index) => Math.floor(index / 3));
  const graph = createGraphBuilder("samples", INT8_OPSET);
  const x = graph.input({ name: "x", type: "float32", shape: ["batch", 3, side, side] });
  const { source } = int8PatchEmbedding(graph, x, "int8");
  graph.node("Identity", [source], {}, "y");
  graph.output({ name: "y", type: "uint8", shape: ["batch", 3, side, side] });
  const samples = Array.from({ length: side ** 2 }, (_, index) => index);
  const got = await runGraph(graph.finish(), normalized(rgb), [1, 3, side, side]);
  expect(got).toEqual([...samples, ...samples, ...samples]);
});

test("their product with the patch embedding's weight is that of the normalised pixels", async () => {
  const rgb = Uint8Array.from({ length: 3 * 4 * 4 }, (_, index) => (index * 41) % 256);
  const pixels = normalized(rgb);
  // Weights that are codes times a channel's scale, so that quantising them loses nothing either.
  const weight = Float32Array.from({ length: 2 * 48 }, (_, index) => {
    const code = index % 48 === 0 ? 127 : ((index * 29) % 255) - 127;
    return code * (clipInput.std[Math.floor((index % 48) / 16)] ?? 1);
  });
  const graph = createGraphBuilder("patch", INT8_OPSET);
  const x = graph.input({ name: "x", type: "float32", shape: ["batch", 3, 4, 4] });
  const { source, linear } = int8PatchEmbedding(graph, x, "int8");
  const row = graph.node("Reshape", [source, graph.integers(-1, 48)]);
  linear(row, { weight: { name: "patch", read: () => weight }, inputs: 48, outputs: 2 }, "y");
  graph.output({ name: "y", type: "float32", shape: ["batch", 2] });
  const expected = [0, 48].map((from) =>
    pixels.reduce((sum, pixel, index) => sum + pixel * (weight[from + index] ?? 0), 0),
  );
  const got = await runGraph(graph.finish(), pixels, [1, 3, 4, 4]);
  expect(relativeDifference(got, expected)).toBeLessThan(1e-5);
});

test("rotated norms give what layer norms give, once the weights around them are made for it", async () => {
  const { width, heads } = tinyClip.vision;
  const tokens = 5;
  // The rows' mean is far from 0, so that it shows where it is not taken away.
  const rows = tinyTensors.read("rows", [2 * tokens, width]).map((value) => value + 3);
  const encoded = async (makeNorms: typeof layerNorms) => {
    const graph = createGraphBuilder("encoder", INT8_OPSET);
    const x = graph.input({ name: "x", type: "float32", shape: ["rows", width] });
    const linear = float32Linear(graph);
    const norms = makeNorms(graph, width);
    const pooled = encode(graph, x, {
      prefix: "vision_model.encoder",
      architecture: tinyClip.vision,
      norms,
      all: { headShape: graph.integers(tokens, -1, heads, width / heads), linear },
      pooled: { headShape: graph.integers(1, -1, heads, width / heads), linear },
      pool: (all) =>
        graph.node("Gather", [
          graph.node("Reshape", [all, graph.integers(tokens, -1, width)]),
          graph.constant(BigInt64Array.of(0n), []),
        ]),
    });
    const last = "vision_model.post_layernorm";
    const projection = norms.behind(last, { ...layer, inputs: width });
    linear(norms.norm(pooled, last), projection, "y");
    graph.output({ name: "y", type: "float32", shape: ["batch", outputs] });
    return await runGraph(graph.finish(), rows, [2 * tokens, width]);
  };
  const expected = await encoded(layerNorms);
  expect(relativeDifference(await encoded(rotatedNorms), expected)).toBeLessThan(1e-5);
});

describe("a layer behind a rotated norm, beside one whose rows are quantised as they are", () => {
  const width = 256;
  const rows = tinyTensors.read("rows", [200, width]).map((value) => value * Math.sqrt(width));

  /** What a layer behind a norm gives. */
  async function embedded(
    x: Float32Array,
    makeNorms: typeof layerNorms,
    makeLinear: typeof float32Linear,
  ) {
    const graph = createGraphBuilder("layer", INT8_OPSET);
    const input = graph.input({ name: "x", type: "float32", shape: ["rows", width] });
    const norms = makeNorms(graph, width);
    const one = norms.behind("norm", { ...layer, inputs: width });
    makeLinear(graph)(norms.norm(norms.enter(input), "norm"), one, "y");
    graph.output({ name: "y", type: "float32", shape: ["rows", outputs] });
    return await runGraph(graph.finish(), x, [x.length / width, width]);
  }

  /** By how much int8 differs from float32, of a root mean square. */
  async function errorOf(x: Float32Array, norms: typeof layerNorms): Promise<number> {
    const exact = await embedded(x, layerNorms, float32Linear);
    const got = await embedded(x, norms, (graph) => int8Linear(graph, "int8"));
    const differences = got.map((value, index) => value - (exact[index] ?? Number.NaN));
    return Math.hypot(...differences) / Math.hypot(...exact);
  }

  test("is nearly as near to float32 where no channel stands out", async () => {
    const asTheyAre = await errorOf(rows, layerNorms);
    expect(await errorOf(rows, rotatedNorms)).toBeLessThan(1.5 * asTheyAre);
  });

  test("is more than twice as near where one does", async () => {
    const standingOut = rows.map((value, index) => (index % width === 3 ? 60 : value));
    const asTheyAre = await errorOf(standingOut, layerNorms);
    expect(await errorOf(standingOut, rotatedNorms)).toBeLessThan(asTheyAre / 2);
  });
});

test("only the first norm takes a mean", () => {
  const { nodes } = imageTower(tinyClip, "int8");
  const norms = nodes.map((node) => node.operator).filter((name) => /LayerNorm/.test(name));
  const { layers } = tinyClip.vision;
  const others = Array.from({ length: 2 * layers + 1 }, () => "SimplifiedLayerNormalization");
  expect(norms).toEqual(["LayerNormalization", ...others]);
});

test("behind a norm, rows need no scale of their own, and a product adds its bias itself", () => {
  const count = (kind: string) =>
    imageTower(tinyClip, "int8").nodes.filter(({ operator }) => operator === kind).length;
  const { layers } = tinyClip.vision;
  // What attention has mixed, and what an activation has let through, of each layer.
  expect(count("ReduceMax")).toBe(2 * layers);
  // Positions; and what those two bring: a bias each, and the rows that they are added to.
  expect(count("Add")).toBe(1 + 4 * layers);
});

/** A picture as if prepared: float32, [3, side, side]. */
function picture(seed: string): Float32Array<ArrayBuffer> {
  const { side } = tinyClip.vision;
  const samples = tinyTensors.read(`${seed}.bias`, [side, side, 3]);
  return normalized(Uint8ClampedArray.from(samples, (value) => 128 + 200 * value));
}

/** @param rgb of a whole picture, interleaved. */
function normalized(rgb: Uint8Array | Uint8ClampedArray): Float32Array<ArrayBuffer> {
  const pixels = new Float32Array(rgb.length);
  rgbToPixelValues(Uint8Array.from(rgb), normalizedLevels(clipInput), pixels, 0);
  return pixels;
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
