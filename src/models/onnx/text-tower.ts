import type { ClipArchitecture, TextArchitecture } from "./architecture.ts";
import { createGraphBuilder, elementTypes, type Graph, type GraphBuilder } from "./graph.ts";
import { float32Linear } from "./linear.ts";
import { layerNorms } from "./norms.ts";
import { encode } from "./transformer.ts";

/** float32's most negative number: behind the softmax exactly 0. */
const MASKED = -3.4028234663852886e38;

/**
 * The graph of transformers' `CLIPTextModelWithProjection`: `input_ids` int64 [batch, length], length
 * from 1 to `maxTokens`, → `text_embeds` float32 [batch, dimensions], not normalised.
 *
 * A sequence is pooled at its first end token (at its first token if it has none) and tokens see only
 * what stands before them, so whatever follows that end token is padding and changes nothing. It costs
 * little too: the rows of all other tokens are packed, and only attention spreads them out again.
 */
export function textTower({ dimensions, text }: ClipArchitecture): Graph {
  const { width, heads } = text;
  const graph = createGraphBuilder("clip-text-tower");
  const ids = graph.input({ name: "input_ids", type: "int64", shape: ["batch", "length"] });
  const grid = gridOf(graph, ids);
  const ends = firstEndTokens(graph, ids, text.endToken);
  const packing = packUpTo(graph, ends, grid);
  const mask = causalMask(graph, grid);

  const norms = layerNorms(graph, width);
  const linear = float32Linear(graph);
  const headShape = graph.integers(-1, heads, width / heads);
  const pooled = encode(graph, embedTokens(graph, ids, packing, grid, text), {
    prefix: "text_model.encoder",
    architecture: text,
    norms,
    all: {
      headShape: graph.node("Concat", [grid.length, headShape], { axis: { int: 0 } }),
      mask,
      linear,
      spread: (rows) => take(graph, rows, packing.rowOfCell),
      pack: (rows) => take(graph, rows, packing.cellOfRow),
    },
    pooled: {
      headShape: graph.integers(1, -1, heads, width / heads),
      mask: graph.node("Unsqueeze", [take(graph, mask, ends), graph.integers(1, 2)]),
      linear,
    },
    pool: (rows) => take(graph, rows, packing.endRows),
  });

  const last = norms.norm(pooled, "text_model.final_layer_norm");
  const projection = { weight: { name: "text_projection.weight" }, inputs: width };
  linear(last, { ...projection, outputs: dimensions }, "text_embeds");
  graph.output({ name: "text_embeds", type: "float32", shape: ["batch", dimensions] });
  return graph.finish();
}

/** The cells of all tokens, padding included: token-major, cell `token · batch + item`. All are int64. */
interface Grid {
  /** [1]. */
  readonly batch: string;
  /** [1]. */
  readonly length: string;
  /** 0, 1, 2 … of every item, [batch], and of every token, [length]. */
  readonly items: string;
  readonly tokens: string;
}

function gridOf(graph: GraphBuilder, ids: string): Grid {
  const size = (axis: number): string =>
    graph.node("Shape", [ids], { start: { int: axis }, end: { int: axis + 1 } });
  const [batch, length] = [size(0), size(1)];
  const scalar = (value: number): string => graph.constant(BigInt64Array.of(BigInt(value)), []);
  const count = (to: string): string =>
    graph.node("Range", [scalar(0), graph.node("Squeeze", [to]), scalar(1)]);
  return { batch, length, items: count(batch), tokens: count(length) };
}

/** Which cells have a row among the packed ones. All are int64. */
interface Packing {
  /** [rows]. */
  readonly cellOfRow: string;
  /** [length · batch]; of a cell of padding, the row of some other: no token before it sees it. */
  readonly rowOfCell: string;
  /** The row at which each item is pooled, [batch]. */
  readonly endRows: string;
}

/** Packs each item's tokens up to its end; the first cell of every item is among them. */
function packUpTo(graph: GraphBuilder, ends: string, grid: Grid): Packing {
  const { batch, items, tokens } = grid;
  const one = graph.integers(1);
  // Broadcasts onto [length, batch]: the end of each item, the token of each line.
  const isKept = graph.node("LessOrEqual", [graph.node("Unsqueeze", [tokens, one]), ends]);
  const flat = graph.node("Reshape", [isKept, graph.integers(-1)]);
  const asNumber = graph.node("Cast", [flat], { to: { int: elementTypes.int64 } });
  const keptSoFar = graph.node("CumSum", [asNumber, graph.integers(0)]);
  const rowOfCell = graph.node("Sub", [keptSoFar, one]);
  const endCells = graph.node("Add", [graph.node("Mul", [ends, batch]), items]);
  return {
    cellOfRow: graph.node("Reshape", [graph.node("NonZero", [flat]), graph.integers(-1)]),
    rowOfCell,
    endRows: take(graph, rowOfCell, endCells),
  };
}

/** Tokens with their positions as packed rows, [rows, width]. */
function embedTokens(
  graph: GraphBuilder,
  ids: string,
  { cellOfRow }: Packing,
  { batch }: Grid,
  { maxTokens, vocabulary, width }: TextArchitecture,
): string {
  const name = "text_model.embeddings";
  const byToken = graph.node("Transpose", [ids], { perm: { ints: [1, 0] } });
  const cells = graph.node("Reshape", [byToken, graph.integers(-1)]);
  const table = graph.weight(`${name}.token_embedding.weight`, [vocabulary, width]);
  const positions = graph.weight(`${name}.position_embedding.weight`, [maxTokens, width]);
  return graph.node("Add", [
    take(graph, table, take(graph, cells, cellOfRow)),
    take(graph, positions, graph.node("Div", [cellOfRow, batch])),
  ]);
}

/** Index of each sequence's first end token, int64 [batch]. */
function firstEndTokens(graph: GraphBuilder, ids: string, endToken: number): string {
  const isEnd = graph.node("Equal", [ids, graph.integers(endToken)]);
  const asNumber = graph.node("Cast", [isEnd], { to: { int: elementTypes.int32 } });
  return graph.node("ArgMax", [asNumber], { axis: { int: 1 }, keepdims: { int: 0 } });
}

/** float32 [length, length]: 0 where the row's token may see the column's, else `MASKED`. */
function causalMask(graph: GraphBuilder, { tokens }: Grid): string {
  const byRow = graph.node("Unsqueeze", [tokens, graph.integers(1)]);
  const scalar = (value: number): string => graph.constant(Float32Array.of(value), []);
  return graph.node("Where", [graph.node("Less", [byRow, tokens]), scalar(MASKED), scalar(0)]);
}

/** The rows of these indexes. */
function take(graph: GraphBuilder, rows: string, indexes: string): string {
  return graph.node("Gather", [rows, indexes], { axis: { int: 0 } });
}
