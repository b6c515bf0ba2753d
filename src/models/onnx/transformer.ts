import type { TransformerArchitecture } from "./architecture.ts";
import type { GraphBuilder } from "./graph.ts";
import type { TensorSource } from "./tensor-source.ts";

/** Which rows attend, and how they are seen as heads. */
export interface Queries {
  /** int64 [4]: [tokens, -1, heads, width / heads]. */
  readonly headShape: string;
  /** float32, broadcast onto [batch, heads, queries, tokens] and added to the scores. */
  readonly mask?: string;
}

/** What the layers of one tower share. */
export interface Encoder {
  /** Name of the layers' parent, such as `vision_model.encoder`. */
  readonly prefix: string;
  readonly architecture: TransformerArchitecture;
  /** All tokens' queries. */
  readonly all: Queries;
  /** The queries of the last layer, where only the pooled token of each item matters. */
  readonly pooled: Queries;
  /** Takes the pooled tokens' rows, [batch, width], out of all rows. */
  readonly pool: (rows: string) => string;
}

/** `LayerNorm` over the channels, with CLIP's epsilon. */
export function layerNorm(graph: GraphBuilder, x: string, name: string, width: number): string {
  const weight = graph.weight(`${name}.weight`, [width]);
  const bias = graph.weight(`${name}.bias`, [width]);
  return graph.node("LayerNormalization", [x, weight, bias], {
    axis: { int: -1 },
    epsilon: { float: 1e-5 },
  });
}

/** `x · weightᵀ`, for rows `x` [rows, in] and a Linear's weight [out, in]; plus `bias` [out] if given. */
export function linear(
  graph: GraphBuilder,
  x: string,
  weight: string,
  bias?: string,
  output?: string,
): string {
  const inputs = bias === undefined ? [x, weight] : [x, weight, bias];
  return graph.node("Gemm", inputs, { transB: { int: 1 } }, output);
}

/**
 * The layers of transformers' `CLIPEncoder`, pooled.
 *
 * Rows are token-major, [tokens · batch, width], so that attention reads queries, keys and values in
 * place. Exact algebra saves work: the last layer computes only the pooled token beyond its keys and
 * values; a key's bias adds the same to a whole row of scores and cancels in the softmax; a value's
 * bias passes through attention, whose weights add up to 1, into the output projection's bias.
 *
 * @returns rows of the pooled tokens, [batch, width], before the final norm.
 */
export function encode(graph: GraphBuilder, tokenRows: string, encoder: Encoder): string {
  const { width, layers, mlp } = encoder.architecture;
  const project = (x: string, name: string, inputs: number, outputs: number): string =>
    linear(
      graph,
      x,
      graph.weight(`${name}.weight`, [outputs, inputs]),
      graph.weight(`${name}.bias`, [outputs]),
    );

  let rows = tokenRows;
  for (let layer = 0; layer < layers; layer += 1) {
    const name = `${encoder.prefix}.layers.${layer}`;
    const attention = `${name}.self_attn`;
    const isLast = layer === layers - 1;
    const normed = layerNorm(graph, rows, `${name}.layer_norm1`, width);
    if (isLast) rows = encoder.pool(rows);
    const queryRows = isLast ? encoder.pool(normed) : normed;

    const mixed = attend(graph, encoder, isLast ? encoder.pooled : encoder.all, {
      queries: project(queryRows, `${attention}.q_proj`, width, width),
      keys: linear(graph, normed, graph.weight(`${attention}.k_proj.weight`, [width, width])),
      values: linear(graph, normed, graph.weight(`${attention}.v_proj.weight`, [width, width])),
    });
    const outWeight = graph.weight(`${attention}.out_proj.weight`, [width, width]);
    const outBias = graph.weight(`${attention}.out_proj.bias`, [width], (tensors) =>
      foldValueBias(tensors, attention, width),
    );
    rows = graph.node("Add", [rows, linear(graph, mixed, outWeight, outBias)]);

    const hidden = layerNorm(graph, rows, `${name}.layer_norm2`, width);
    const activated = graph.node("QuickGelu", [project(hidden, `${name}.mlp.fc1`, width, mlp)], {
      alpha: { float: 1.702 },
    });
    rows = graph.node("Add", [rows, project(activated, `${name}.mlp.fc2`, mlp, width)]);
  }
  return rows;
}

/** Scaled dot-product attention over token-major rows; returns rows like the queries'. */
function attend(
  graph: GraphBuilder,
  { all, architecture: { width, heads } }: Encoder,
  { headShape, mask }: Queries,
  rows: { readonly queries: string; readonly keys: string; readonly values: string },
): string {
  const inHeads = (x: string, shape: string): string => graph.node("Reshape", [x, shape]);
  // FusedMatMul's transBatch reads [tokens, batch, heads, channels] as [batch, heads, tokens, channels].
  const scores = graph.node(
    "FusedMatMul",
    [inHeads(rows.queries, headShape), inHeads(rows.keys, all.headShape)],
    {
      transBatchA: { int: 1 },
      transBatchB: { int: 1 },
      transB: { int: 1 },
      alpha: { float: 1 / Math.sqrt(width / heads) },
    },
  );
  const masked = mask === undefined ? scores : graph.node("Add", [scores, mask]);
  const mixed = graph.node(
    "FusedMatMul",
    [graph.node("Softmax", [masked], { axis: { int: -1 } }), inHeads(rows.values, all.headShape)],
    { transBatchB: { int: 1 } },
  );
  const tokenMajor = graph.node("Transpose", [mixed], { perm: { ints: [2, 0, 1, 3] } });
  return graph.node("Reshape", [tokenMajor, graph.integers(-1, width)]);
}

/** The output projection's bias plus what the value's bias becomes behind that projection. */
function foldValueBias(
  tensors: TensorSource,
  attention: string,
  width: number,
): Float32Array<ArrayBuffer> {
  const square = [width, width];
  const weight = tensors.read(`${attention}.out_proj.weight`, square);
  const valueBias = tensors.read(`${attention}.v_proj.bias`, [width]);
  const folded = tensors.read(`${attention}.out_proj.bias`, [width]);
  for (let out = 0; out < width; out += 1) {
    let sum = folded[out] ?? 0;
    for (let channel = 0; channel < width; channel += 1) {
      sum += (weight[out * width + channel] ?? 0) * (valueBias[channel] ?? 0);
    }
    folded[out] = sum;
  }
  return folded;
}
