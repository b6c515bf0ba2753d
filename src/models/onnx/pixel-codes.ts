/** Pixels in an int8 graph: the bytes that they were before they were normalised. */
import type { Int8Arithmetic } from "./arithmetic.ts";
import type { GraphBuilder } from "./graph.ts";
import { multiplyCodes } from "./int8-linear.ts";
import { type Linear, type LinearLayer, readWeight } from "./linear.ts";

/**
 * How CLIP's pixels are normalised: (sample / 255 - mean) / std, red, green, blue. It is part of an int8 graph, so
 * every model of the catalog must want its pixels so.
 *
 * @see transformers' `OPENAI_CLIP_MEAN` and `OPENAI_CLIP_STD`.
 */
export const clipNormalization = {
  mean: [0.48145466, 0.4578275, 0.40821073],
  std: [0.26862954, 0.26130258, 0.27577711],
} as const;

/** Of the codes: the middle of a sample's range. */
const ZERO_POINT = 128;

/** What patches are cut out of, and how their rows are multiplied. */
export interface PatchEmbedding {
  /** [batch, 3, side, side]. */
  readonly source: string;
  /** For rows of patches, [rows, 3 · patch²], and a layer of as many inputs without a bias. */
  readonly linear: Linear;
}

/**
 * Embeds patches out of samples as bytes, without any loss: normalised pixels lie on 256 levels a channel, so each
 * channel has a scale by which they become whole numbers again. So no patch needs a scale of its own, with the two
 * passes that look for it and the one that applies it, and the transposition that lays patches out as rows moves a
 * quarter of the bytes: 1 % more images a second. What is no sample goes to the nearest one.
 *
 * @param pixels float32, [batch, 3, side, side].
 */
export function int8PatchEmbedding(
  graph: GraphBuilder,
  pixels: string,
  arithmetic: Int8Arithmetic,
): PatchEmbedding {
  const { mean, std } = clipNormalization;
  const step = graph.constant(Float32Array.from(std, stepOf), [3]);
  // A normalised 0 is no sample, but it is nearer than half a step to this one.
  const nearest = graph.constant(
    Uint8Array.from(mean, (one) => Math.round(one * 255)),
    [3],
  );
  const zeroPoint = graph.constant(Uint8Array.of(ZERO_POINT), []);
  return {
    source: graph.node("QuantizeLinear", [pixels, step, nearest], { axis: { int: 1 } }),
    linear: (codes, layer, output) =>
      multiplyCodes(graph, arithmetic, { codes, zeroPoint }, ofSamples(layer), output),
  };
}

/** The layer of samples less the zero point that gives what `layer` gives of the normalised pixels. */
function ofSamples(layer: LinearLayer): LinearLayer {
  const { weight, inputs, outputs } = layer;
  const { mean, std } = clipNormalization;
  const read = readWeight(layer);
  const channelOf = (index: number): number => Math.floor((3 * (index % inputs)) / inputs);
  const steps = std.map(stepOf);
  const offsets = mean.map((one, channel) => (ZERO_POINT / 255 - one) / (std[channel] ?? 1));
  return {
    inputs,
    outputs,
    weight: {
      name: weight.name,
      read: (tensors) =>
        read(tensors).map((value, index) => value * (steps[channelOf(index)] ?? 1)),
    },
    bias: {
      name: `${weight.name}.offset`,
      read: (tensors) => {
        const values = read(tensors);
        const sums = new Float64Array(outputs);
        for (const [index, value] of values.entries()) {
          const output = Math.floor(index / inputs);
          sums[output] = (sums[output] ?? 0) + value * (offsets[channelOf(index)] ?? 0);
        }
        return Float32Array.from(sums);
      },
    },
  };
}

/** By how much a normalised pixel differs from that of the next sample. */
function stepOf(std: number): number {
  return 1 / (255 * std);
}
