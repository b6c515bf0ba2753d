/** CLIP's image tower as exporters write it: the reference for our own graph. */
import type { ClipArchitecture } from "../../src/models/onnx/architecture.ts";
import { createGraphBuilder, type Graph, type GraphBuilder } from "../../src/models/onnx/graph.ts";
import { INT8_OPSET, int8Linear, quantizedWeights } from "../../src/models/onnx/int8-linear.ts";
import type { Linear } from "../../src/models/onnx/linear.ts";
import { layerNorm } from "../../src/models/onnx/norms.ts";

/** A convolution, every token through every layer, and a transposition for each of queries, keys, values and results. */
export function plainImageTower(
  { dimensions, vision }: ClipArchitecture,
  arithmetic: "fp32" | "int8" | "int8-per-tensor",
): Graph {
  const { width, heads, mlp, side, patch, layers } = vision;
  const graph = createGraphBuilder(
    "plain-image-tower",
    arithmetic === "fp32" ? undefined : INT8_OPSET,
  );
  const linears = {
    fp32: () => multiplyAndAdd(graph),
    int8: () => int8Linear(graph, "int8"),
    "int8-per-tensor": () => int8PerTensor(graph),
  } as const satisfies Record<typeof arithmetic, () => Linear>;
  const linear = linears[arithmetic]();
  const tokens = (side / patch) ** 2 + 1;
  let rows = graph.node("Reshape", [
    layerNorm(graph, embedTokens(graph, vision, tokens), "vision_model.pre_layrnorm", width),
    graph.integers(-1, width),
  ]);
  const channels = width / heads;
  const square = { inputs: width, outputs: width };
  for (let layer = 0; layer < layers; layer += 1) {
    const name = `vision_model.encoder.layers.${layer}`;
    const project = (x: string, which: string, sizes: { inputs: number; outputs: number }) =>
      linear(x, {
        weight: { name: `${name}.${which}.weight` },
        bias: { name: `${name}.${which}.bias` },
        ...sizes,
      });
    const normed = layerNorm(graph, rows, `${name}.layer_norm1`, width);
    const inHeads = (which: string, perm: readonly number[]) => {
      const byHead = graph.integers(-1, tokens, heads, channels);
      const all = project(normed, `self_attn.${which}_proj`, square);
      return graph.node("Transpose", [graph.node("Reshape", [all, byHead])], {
        perm: { ints: perm },
      });
    };
    const queries = inHeads("q", [0, 2, 1, 3]);
    const keys = inHeads("k", [0, 2, 3, 1]);
    const scale = graph.constant(Float32Array.of(1 / Math.sqrt(channels)), []);
    const scores = graph.node("Mul", [graph.node("MatMul", [queries, keys]), scale]);
    const weights = graph.node("Softmax", [scores], { axis: { int: -1 } });
    const mixed = graph.node("MatMul", [weights, inHeads("v", [0, 2, 1, 3])]);
    const byToken = graph.node("Transpose", [mixed], { perm: { ints: [0, 2, 1, 3] } });
    const flat = graph.node("Reshape", [byToken, graph.integers(-1, width)]);
    rows = graph.node("Add", [rows, project(flat, "self_attn.out_proj", square)]);
    const next = layerNorm(graph, rows, `${name}.layer_norm2`, width);
    const hidden = project(next, "mlp.fc1", { inputs: width, outputs: mlp });
    const gate = graph.node("Mul", [hidden, graph.constant(Float32Array.of(1.702), [])]);
    const activated = graph.node("Mul", [hidden, graph.node("Sigmoid", [gate])]);
    rows = graph.node("Add", [
      rows,
      project(activated, "mlp.fc2", { inputs: mlp, outputs: width }),
    ]);
  }
  const byImage = graph.node("Reshape", [rows, graph.integers(-1, tokens, width)]);
  const first = graph.constant(BigInt64Array.of(0n), []);
  const pooled = graph.node("Gather", [byImage, first], { axis: { int: 1 } });
  const last = layerNorm(graph, pooled, "vision_model.post_layernorm", width);
  const projection = graph.weight("projection", [width, dimensions], (tensors) =>
    transposed(tensors.read("visual_projection.weight", [dimensions, width]), dimensions),
  );
  graph.node("MatMul", [last, projection], {}, "image_embeds");
  graph.output({ name: "image_embeds", type: "float32", shape: ["batch", dimensions] });
  return graph.finish();
}

function embedTokens(
  graph: GraphBuilder,
  { width, side, patch }: ClipArchitecture["vision"],
  tokens: number,
): string {
  const name = "vision_model.embeddings";
  const pixels = graph.input({
    name: "pixel_values",
    type: "float32",
    shape: ["batch", 3, side, side],
  });
  const kernel = graph.weight(`${name}.patch_embedding.weight`, [width, 3, patch, patch]);
  const grid = graph.node("Conv", [pixels, kernel], {
    kernel_shape: { ints: [patch, patch] },
    strides: { ints: [patch, patch] },
  });
  const flat = graph.node("Reshape", [grid, graph.integers(0, width, -1)]);
  const patches = graph.node("Transpose", [flat], { perm: { ints: [0, 2, 1] } });
  const batch = graph.node("Shape", [pixels], { start: { int: 0 }, end: { int: 1 } });
  const shape = graph.node("Concat", [batch, graph.integers(1, width)], { axis: { int: 0 } });
  const classToken = graph.node("Expand", [
    graph.weight(`${name}.class_embedding`, [width]),
    shape,
  ]);
  const all = graph.node("Concat", [classToken, patches], { axis: { int: 1 } });
  const positions = graph.weight(`${name}.position_embedding.weight`, [tokens, width]);
  return graph.node("Add", [all, positions]);
}

/** A product with the transposed weight, and a sum, as exporters write a Linear. */
function multiplyAndAdd(graph: GraphBuilder): Linear {
  return (x, { weight, bias, inputs, outputs }) => {
    const matrix = graph.weight(`${weight.name}.transposed`, [inputs, outputs], (tensors) =>
      transposed(tensors.read(weight.name, [outputs, inputs]), outputs),
    );
    const product = graph.node("MatMul", [x, matrix]);
    return bias === undefined
      ? product
      : graph.node("Add", [product, graph.weight(bias.name, [outputs])]);
  };
}

/** A product of bytes with one scale for all rows of a batch, as onnxruntime's own tool for quantising writes it. */
function int8PerTensor(graph: GraphBuilder): Linear {
  return (x, layer) => {
    const { bias, outputs } = layer;
    const { codes, scales } = quantizedWeights(graph, layer, "int8");
    const addend = bias === undefined ? [] : ["", graph.weight(bias.name, [outputs])];
    return graph.node("DynamicQuantizeMatMul", [x, codes, scales, ...addend]);
  };
}

/** [rows, columns] → [columns, rows]. */
function transposed(values: Float32Array, rows: number): Float32Array<ArrayBuffer> {
  const columns = values.length / rows;
  const turned = new Float32Array(values.length);
  for (let row = 0; row < rows; row += 1) {
    for (let column = 0; column < columns; column += 1) {
      turned[column * rows + row] = values[row * columns + column] ?? 0;
    }
  }
  return turned;
}
