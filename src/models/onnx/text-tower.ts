import type { ClipArchitecture, TextArchitecture } from "./architecture.ts";
import { createGraphBuilder, elementTypes, type Graph, type GraphBuilder } from "./graph.ts";
import { float32Linear } from "./linear.ts";
import { encode, layerNorm } from "./transformer.ts";

/** float32's most negative number: behind the softmax exactly 0. */
const MASKED = -3.4028234663852886e38;

/**
 * The graph of transformers' `CLIPTextModelWithProjection`: `input_ids` int64 [batch, length], length
 * from 1 to `maxTokens`, → `text_embeds` float32 [batch, dimensions], not normalised.
 *
 * A sequence is pooled at its first end token (at its first token if it has none) and tokens see only
 * what stands before them, so whatever follows that end token is padding and changes nothing.
 */
export function textTower({ dimensions, text }: ClipArchitecture): Graph {
  const { width, heads } = text;
  const graph = createGraphBuilder("clip-text-tower");
  const ids = graph.input({ name: "input_ids", type: "int64", shape: ["batch", "length"] });
  const batch = graph.node("Shape", [ids], { start: { int: 0 }, end: { int: 1 } });
  const length = graph.node("Shape", [ids], { start: { int: 1 }, end: { int: 2 } });
  const ends = firstEndTokens(graph, ids, text.endToken);

  const linear = float32Linear(graph);
  const { rows, mask } = embedTokens(graph, ids, length, text);
  const headsShape = graph.integers(-1, heads, width / heads);
  const pooled = encode(graph, rows, {
    prefix: "text_model.encoder",
    architecture: text,
    all: {
      headShape: graph.node("Concat", [length, headsShape], { axis: { int: 0 } }),
      mask,
      linear,
    },
    pooled: {
      headShape: graph.integers(1, -1, heads, width / heads),
      mask: graph.node("Unsqueeze", [
        graph.node("Gather", [mask, ends], { axis: { int: 0 } }),
        graph.integers(1, 2),
      ]),
      linear,
    },
    pool: rowPicker(graph, ends, batch),
  });

  const last = layerNorm(graph, pooled, "text_model.final_layer_norm", width);
  const projection = { weight: { name: "text_projection.weight" }, inputs: width };
  linear(last, { ...projection, outputs: dimensions }, "text_embeds");
  graph.output({ name: "text_embeds", type: "float32", shape: ["batch", dimensions] });
  return graph.finish();
}

/** Tokens with their positions as token-major rows [length · batch, width]; causal mask [length, length]. */
function embedTokens(
  graph: GraphBuilder,
  ids: string,
  length: string,
  { maxTokens, vocabulary, width }: TextArchitecture,
): { readonly rows: string; readonly mask: string } {
  const name = "text_model.embeddings";
  const table = graph.weight(`${name}.token_embedding.weight`, [vocabulary, width]);
  const byToken = graph.node("Transpose", [ids], { perm: { ints: [1, 0] } });
  const tokens = graph.node("Gather", [table, byToken], { axis: { int: 0 } });

  const zero = graph.integers(0);
  const allPositions = graph.weight(
    `${name}.position_embedding.weight`,
    [maxTokens, 1, width],
    (tensors) => tensors.read(`${name}.position_embedding.weight`, [maxTokens, width]),
  );
  const positions = graph.node("Slice", [allPositions, zero, length, zero]);
  const embedded = graph.node("Add", [tokens, positions]);

  const causal = graph.constant(causalMask(maxTokens), [maxTokens, maxTokens]);
  const square = graph.node("Concat", [length, length], { axis: { int: 0 } });
  return {
    rows: graph.node("Reshape", [embedded, graph.integers(-1, width)]),
    mask: graph.node("Slice", [causal, graph.integers(0, 0), square]),
  };
}

/** Index of each sequence's first end token, int64 [batch]. */
function firstEndTokens(graph: GraphBuilder, ids: string, endToken: number): string {
  const isEnd = graph.node("Equal", [ids, graph.integers(endToken)]);
  const asNumber = graph.node("Cast", [isEnd], { to: { int: elementTypes.int32 } });
  return graph.node("ArgMax", [asNumber], { axis: { int: 1 }, keepdims: { int: 0 } });
}

/** Takes one token's row of each sequence out of token-major rows: row `ends[i] · batch + i`. */
function rowPicker(graph: GraphBuilder, ends: string, batch: string): (rows: string) => string {
  const scalar = (value: string): string => graph.node("Squeeze", [value]);
  const items = graph.node("Range", [
    graph.constant(BigInt64Array.of(0n), []),
    scalar(batch),
    graph.constant(BigInt64Array.of(1n), []),
  ]);
  const picked = graph.node("Add", [graph.node("Mul", [ends, batch]), items]);
  return (rows) => graph.node("Gather", [rows, picked], { axis: { int: 0 } });
}

/** float32 [tokens, tokens]: 0 where the row's token may see the column's, else `MASKED`. */
function causalMask(tokens: number): Float32Array<ArrayBuffer> {
  return Float32Array.from({ length: tokens * tokens }, (_, index) =>
    index % tokens > Math.floor(index / tokens) ? MASKED : 0,
  );
}
