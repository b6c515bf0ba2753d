import type { ClipArchitecture, VisionArchitecture } from "./architecture.ts";
import type { Arithmetic } from "./arithmetic.ts";
import { createGraphBuilder, type Graph, type GraphBuilder } from "./graph.ts";
import { INT8_OPSET, int8Linear } from "./int8-linear.ts";
import { float32Linear, type Linear } from "./linear.ts";
import { layerNorm, layerNorms, rotatedNorms } from "./norms.ts";
import { int8PatchEmbedding, type PatchEmbedding } from "./pixel-codes.ts";
import { encode } from "./transformer.ts";

/**
 * The graph of transformers' `CLIPVisionModelWithProjection`: `pixel_values` float32
 * [batch, 3, side, side] → `image_embeds` float32 [batch, dimensions], not normalised.
 *
 * @param arithmetic of the products with weights; attention's own are float32 always.
 */
export function imageTower(
  { dimensions, vision }: ClipArchitecture,
  arithmetic: Arithmetic = "fp32",
): Graph {
  const { width, heads, side, patch } = vision;
  const graph = createGraphBuilder(
    "clip-image-tower",
    arithmetic === "fp32" ? undefined : INT8_OPSET,
  );
  const linearOfSomeRows = (): Linear =>
    arithmetic === "fp32" ? float32Linear(graph) : int8Linear(graph, arithmetic);
  const pixels = graph.input({
    name: "pixel_values",
    type: "float32",
    shape: ["batch", 3, side, side],
  });

  const patches =
    arithmetic === "fp32"
      ? { source: pixels, linear: float32Linear(graph) }
      : int8PatchEmbedding(graph, pixels, arithmetic);
  const tokens = (side / patch) ** 2 + 1;
  const normed = layerNorm(
    graph,
    embedTokens(graph, pixels, tokens, vision, patches),
    "vision_model.pre_layrnorm",
    width,
  );
  const classTokens = (rows: string): string => {
    const byToken = graph.node("Reshape", [rows, graph.integers(tokens, -1, width)]);
    const first = graph.constant(BigInt64Array.of(0n), []);
    return graph.node("Gather", [byToken, first], { axis: { int: 0 } });
  };
  const norms = arithmetic === "fp32" ? layerNorms(graph, width) : rotatedNorms(graph, width);
  const linear = linearOfSomeRows();
  const pooledLinear = linearOfSomeRows();
  const pooled = encode(graph, graph.node("Reshape", [normed, graph.integers(-1, width)]), {
    prefix: "vision_model.encoder",
    architecture: vision,
    norms,
    all: { headShape: graph.integers(tokens, -1, heads, width / heads), linear },
    pooled: {
      headShape: graph.integers(1, -1, heads, width / heads),
      linear: pooledLinear,
    },
    pool: classTokens,
  });

  const last = "vision_model.post_layernorm";
  const projection = {
    weight: { name: "visual_projection.weight" },
    inputs: width,
    outputs: dimensions,
  };
  pooledLinear(norms.norm(pooled, last), norms.behind(last, projection), "image_embeds");
  graph.output({ name: "image_embeds", type: "float32", shape: ["batch", dimensions] });
  return graph.finish();
}

/**
 * Class token and patches, with their positions: [tokens, batch, width]. The convolution's stride is
 * its kernel's size, so it is one matrix product over patches laid out as rows.
 */
function embedTokens(
  graph: GraphBuilder,
  pixels: string,
  tokens: number,
  { width, side, patch }: VisionArchitecture,
  { source, linear }: PatchEmbedding,
): string {
  const name = "vision_model.embeddings";
  const grid = side / patch;
  const inputs = 3 * patch * patch;

  const cut = graph.node("Reshape", [source, graph.integers(-1, 3, grid, patch, grid, patch)]);
  const byPatch = graph.node("Transpose", [cut], { perm: { ints: [2, 4, 0, 1, 3, 5] } });
  const patchRows = graph.node("Reshape", [byPatch, graph.integers(-1, inputs)]);
  const kernel = `${name}.patch_embedding.weight`;
  const embedded = linear(patchRows, {
    weight: { name: kernel, read: (tensors) => tensors.read(kernel, [width, 3, patch, patch]) },
    inputs,
    outputs: width,
  });
  const patches = graph.node("Reshape", [embedded, graph.integers(tokens - 1, -1, width)]);

  const batch = graph.node("Shape", [pixels], { start: { int: 0 }, end: { int: 1 } });
  const one = graph.integers(1);
  const classShape = graph.node("Concat", [one, batch, graph.integers(width)], {
    axis: { int: 0 },
  });
  const classToken = graph.node("Expand", [
    graph.weight(`${name}.class_embedding`, [width]),
    classShape,
  ]);
  const all = graph.node("Concat", [classToken, patches], { axis: { int: 0 } });
  const positions = graph.weight(
    `${name}.position_embedding.weight`,
    [tokens, 1, width],
    (tensors) => tensors.read(`${name}.position_embedding.weight`, [tokens, width]),
  );
  return graph.node("Add", [all, positions]);
}
