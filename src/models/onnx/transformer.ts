import type { TransformerArchitecture } from "./architecture.ts";
import type { GraphBuilder } from "./graph.ts";
import { type BiasedLayer, type Linear, type LinearLayer, readBias, readWeight } from "./linear.ts";
import { multiplyAndAdd, type Norms } from "./norms.ts";
import type { TensorSource } from "./tensor-source.ts";

/** QuickGELU is x · σ(1.702 x). */
const QUICK_GELU = 1.702;
/** A bound below the least value of x · σ(x), −0.278464… at x = −1.278464…. */
const SILU_MINIMUM = -0.2785;

/** Which rows attend, and how they are seen as heads. */
export interface Queries {
  /** int64 [4]: [tokens, -1, heads, width / heads]. */
  readonly headShape: string;
  /** float32, broadcast onto [batch, heads, queries, tokens] and added to the scores. */
  readonly mask?: string;
  /** Multiplies rows of these. */
  readonly linear: Linear;
  /** Lays rows out as `headShape` takes them, token-major; absent where they lie so. */
  readonly spread?: (rows: string) => string;
  /** Brings what lies so back to how the rows lay. */
  readonly pack?: (rows: string) => string;
}

/** What the layers of one tower share. */
export interface Encoder {
  /** Name of the layers' parent, such as `vision_model.encoder`. */
  readonly prefix: string;
  readonly architecture: TransformerArchitecture;
  readonly norms: Norms;
  /** All tokens' queries. */
  readonly all: Queries;
  /** The queries of the last layer, where only the pooled token of each item matters. */
  readonly pooled: Queries;
  /** Takes the pooled tokens' rows, [batch, width], out of all rows. */
  readonly pool: (rows: string) => string;
}

/**
 * The layers of transformers' `CLIPEncoder`, pooled.
 *
 * Rows are token-major, [tokens · batch, width], so that attention reads queries, keys and values in
 * place; where some of them are padding, those are left out, and `spread` puts them back for attention alone.
 * Exact algebra saves work: the last layer computes only the pooled token beyond its keys and values; a key's bias
 * adds the same to a whole row of scores and cancels in the softmax; a value's bias passes through attention, whose
 * weights add up to 1, into the output projection's bias. And 1.702 · QuickGELU(x) is y · σ(y) of y = 1.702 x, for
 * which onnxruntime has a kernel three times as fast: the factors are those of the products before and after it.
 *
 * @returns rows of the pooled tokens, [batch, width], as `norms` leaves them: its last norm comes next.
 */
export function encode(graph: GraphBuilder, tokenRows: string, encoder: Encoder): string {
  const { width, layers, mlp } = encoder.architecture;
  const { norms } = encoder;
  const layerOf = (name: string, inputs: number, outputs: number) => ({
    weight: { name: `${name}.weight` },
    bias: { name: `${name}.bias` },
    inputs,
    outputs,
  });

  let rows = norms.enter(tokenRows);
  for (let layer = 0; layer < layers; layer += 1) {
    const name = `${encoder.prefix}.layers.${layer}`;
    const attention = `${name}.self_attn`;
    const isLast = layer === layers - 1;
    const before = `${name}.layer_norm1`;
    const normed = norms.norm(rows, before);
    if (isLast) rows = encoder.pool(rows);
    const queryRows = isLast ? encoder.pool(normed) : normed;

    const queries = isLast ? encoder.pooled : encoder.all;
    const project = encoder.all.linear;
    const projection = (which: "q" | "k" | "v") =>
      norms.behind(before, layerOf(`${attention}.${which}_proj`, width, width));
    const toValues = projection("v");
    const mixed = attend(graph, encoder, queries, {
      queries: queries.linear(queryRows, projection("q")),
      keys: project(normed, withoutBias(projection("k"))),
      values: project(normed, withoutBias(toValues)),
    });
    const output = foldValueBias(layerOf(`${attention}.out_proj`, width, width), toValues);
    rows = graph.node("Add", [rows, queries.linear(mixed, norms.onto(output))]);

    const between = `${name}.layer_norm2`;
    const hidden = queries.linear(norms.norm(rows, between), {
      ...norms.behind(between, layerOf(`${name}.mlp.fc1`, width, mlp)),
      outputFactor: QUICK_GELU,
    });
    const activated = graph.node("QuickGelu", [hidden], { alpha: { float: 1 } });
    const added = queries.linear(activated, {
      ...norms.onto(layerOf(`${name}.mlp.fc2`, mlp, width)),
      inputFactor: 1 / QUICK_GELU,
      inputMinimum: SILU_MINIMUM,
    });
    rows = graph.node("Add", [rows, added]);
  }
  return rows;
}

/** Scaled dot-product attention over token-major rows; returns rows like the queries'. */
function attend(
  graph: GraphBuilder,
  { all, architecture: { width, heads } }: Encoder,
  { headShape, mask, spread = asTheyAre, pack = asTheyAre }: Queries,
  rows: { readonly queries: string; readonly keys: string; readonly values: string },
): string {
  const inHeads = (x: string, shape: string): string => graph.node("Reshape", [x, shape]);
  const { spread: spreadAll = asTheyAre } = all;
  // FusedMatMul's transBatch reads [tokens, batch, heads, channels] as [batch, heads, tokens, channels].
  const scores = graph.node(
    "FusedMatMul",
    [inHeads(spread(rows.queries), headShape), inHeads(spreadAll(rows.keys), all.headShape)],
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
    [
      graph.node("Softmax", [masked], { axis: { int: -1 } }),
      inHeads(spreadAll(rows.values), all.headShape),
    ],
    { transBatchB: { int: 1 } },
  );
  const tokenMajor = graph.node("Transpose", [mixed], { perm: { ints: [2, 0, 1, 3] } });
  return pack(graph.node("Reshape", [tokenMajor, graph.integers(-1, width)]));
}

/** Where rows lie as attention reads them. */
const asTheyAre = (rows: string): string => rows;

function withoutBias({ bias: _, ...layer }: BiasedLayer): LinearLayer {
  return layer;
}

/** The output projection, whose bias takes in what the values' bias becomes behind it. */
function foldValueBias(output: BiasedLayer, values: BiasedLayer): BiasedLayer {
  const read = (tensors: TensorSource) =>
    multiplyAndAdd(
      readWeight(output)(tensors),
      readBias(values)(tensors),
      readBias(output)(tensors),
    );
  return { ...output, bias: { name: output.bias.name, read } };
}
