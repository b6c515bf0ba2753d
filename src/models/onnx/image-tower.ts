import type { ClipArchitecture, VisionArchitecture } from "./architecture.ts";
import { createGraphBuilder, type Graph, type GraphBuilder } from "./graph.ts";
import { encode, layerNorm, linear } from "./transformer.ts";

/**
 * The graph of transformers' `CLIPVisionModelWithProjection`: `pixel_values` float32
 * [batch, 3, side, side] → `image_embeds` float32 [batch, dimensions], not normalised.
 */
export function imageTower({ dimensions, vision }: ClipArchitecture): Graph {
  const { width, heads, side, patch } = vision;
  const graph = createGraphBuilder("clip-image-tower");
  const pixels = graph.input({
    name: "pixel_values",
    type: "float32",
    shape: ["batch", 3, side, side],
  });

  const tokens = (side / patch) ** 2 + 1;
  const normed = layerNorm(
    graph,
    embedTokens(graph, pixels, tokens, vision),
    "vision_model.pre_layrnorm",
    width,
  );
  const classTokens = (rows: string): string => {
    const byToken = graph.node("Reshape", [rows, graph.integers(tokens, -1, width)]);
    const first = graph.constant(BigInt64Array.of(0n), []);
    return graph.node("Gather", [byToken, first], { axis: { int: 0 } });
  };
  const pooled = encode(graph, graph.node("Reshape", [normed, graph.integers(-1, width)]), {
    prefix: "vision_model.encoder",
    architecture: vision,
    all: { headShape: graph.integers(tokens, -1, heads, width / heads) },
    pooled: { headShape: graph.integers(1, -1, heads, width / heads) },
    pool: classTokens,
  });

  const last = layerNorm(graph, pooled, "vision_model.post_layernorm", width);
  const projection = graph.weight("visual_projection.weight", [dimensions, width]);
  linear(graph, last, projection, undefined, "image_embeds");
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
): string {
  const name = "vision_model.embeddings";
  const grid = side / patch;
  const inputs = 3 * patch * patch;

  const cut = graph.node("Reshape", [pixels, graph.integers(-1, 3, grid, patch, grid, patch)]);
  const byPatch = graph.node("Transpose", [cut], { perm: { ints: [2, 4, 0, 1, 3, 5] } });
  const patchRows = graph.node("Reshape", [byPatch, graph.integers(-1, inputs)]);
  const kernel = graph.weight(`${name}.patch_embedding.weight`, [width, inputs], (tensors) =>
    tensors.read(`${name}.patch_embedding.weight`, [width, 3, patch, patch]),
  );
  const patches = graph.node("Reshape", [
    linear(graph, patchRows, kernel),
    graph.integers(tokens - 1, -1, width),
  ]);

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
