/** Linear layers whose products are of bytes: one scale for each row of the input, one for each output. */
import { type Int8Arithmetic, maxWeightCode } from "./arithmetic.ts";
import type { GraphBuilder, Opset } from "./graph.ts";
import { type Linear, type LinearLayer, readBias, readWeight } from "./linear.ts";
import { quantizeWeight } from "./quantized-weight.ts";
import { elementCount, type TensorSource } from "./tensor-source.ts";

/** Of a graph with such layers: `QuantizeLinear` came to take blocks with this version. */
export const INT8_OPSET: Opset = 21;

/** Rows as unsigned bytes: row ≈ (codes - zeroPoint) · scale. */
export interface QuantizedRows {
  /** uint8, [rows, inputs]. */
  readonly codes: string;
  /** float32, [rows, 1]; absent where it is 1 of all rows. */
  readonly scale?: string;
  /** uint8, the same of all rows. */
  readonly zeroPoint: string;
}

/** How a kind of rows is quantised: codes reach from 0 to 255. */
interface RowRange {
  readonly zeroPoint: number;
  /** Code of the largest number of a row, beyond the zero point. */
  readonly top: number;
  /** Least scale, so that no number lies below code 0. */
  readonly minScale: number;
}

/**
 * Makes layers for inputs of one number of rows.
 *
 * A row's scale is its own largest magnitude over 127, so that a vector does not depend on what else is in the batch,
 * by any bit. Where an input is known not to go far below 0, as behind an activation, its codes begin there, and almost
 * a bit more is left for the rest. A row of zeros has the scale 0, by which whatever its codes are is multiplied.
 */
export function int8Linear(graph: GraphBuilder, arithmetic: Int8Arithmetic): Linear {
  const quantized = new Map<string, QuantizedRows>();
  const zeroPoints = new Map<number, Pick<QuantizedRows, "zeroPoint"> & { byRow: string }>();

  /** @param scale whose shape is what `QuantizeLinear` wants of the zero point too. */
  const zeroPointOf = (zeroPoint: number, scale: string) => {
    const known = zeroPoints.get(zeroPoint);
    if (known !== undefined) return known;
    const value = graph.constant(Uint8Array.of(zeroPoint), []);
    const byRow = graph.node("Expand", [value, graph.node("Shape", [scale])]);
    const made = { zeroPoint: value, byRow };
    zeroPoints.set(zeroPoint, made);
    return made;
  };

  const quantizeRows = (x: string, layer: LinearLayer): QuantizedRows => {
    const { zeroPoint: zero, top, minScale } = rangeOf(layer);
    const magnitudes = minScale > 0 ? x : graph.node("Abs", [x]);
    const largest = graph.node("ReduceMax", [magnitudes, graph.integers(-1)], {
      keepdims: { int: 1 },
    });
    const spread = graph.node("Mul", [largest, scalar(graph, 1 / top)]);
    const scale = minScale > 0 ? graph.node("Max", [spread, scalar(graph, minScale)]) : spread;
    const { zeroPoint, byRow } = zeroPointOf(zero, scale);
    // A row is one block: onnxruntime's kernel of blocks takes all threads, that of an axis takes one.
    const codes = graph.node("QuantizeLinear", [x, scale, byRow], {
      axis: { int: 1 },
      block_size: { int: layer.inputs },
    });
    return { codes, scale, zeroPoint };
  };

  return (x, layer, output) => {
    const rows = quantized.get(x) ?? quantizeRows(x, layer);
    quantized.set(x, rows);
    return multiplyCodes(graph, arithmetic, rows, layer, output);
  };
}

/** Adds a layer whose input is quantised: the product, the rows' scale if they have one, and the bias. */
export function multiplyCodes(
  graph: GraphBuilder,
  arithmetic: Int8Arithmetic,
  rows: QuantizedRows,
  layer: LinearLayer,
  output?: string,
): string {
  const { codes, scales } = quantizedWeights(graph, layer, arithmetic);
  const bias = biasOf(graph, layer);
  const operands = [rows.codes, codes, scalar(graph, 1), scales, rows.zeroPoint];
  if (rows.scale === undefined) {
    const addend = bias === undefined ? [] : ["", bias];
    return graph.node("MatMulIntegerToFloat", [...operands, ...addend], {}, output);
  }
  const sums = graph.node("MatMulIntegerToFloat", operands);
  if (bias === undefined) return graph.node("Mul", [sums, rows.scale], {}, output);
  return graph.node("Add", [graph.node("Mul", [sums, rows.scale]), bias], {}, output);
}

/** Adds a layer's bias, float32 [outputs], which takes the factor of the result in. */
function biasOf(graph: GraphBuilder, layer: LinearLayer): string | undefined {
  const { bias, outputs, outputFactor = 1 } = layer;
  if (bias === undefined) return undefined;
  const read = readBias({ bias, outputs });
  return graph.weight(bias.name, [outputs], (tensors) => {
    const values = read(tensors);
    return outputFactor === 1 ? values : values.map((value) => value * outputFactor);
  });
}

/** Codes on either side of 128; or from where the input begins. */
function rangeOf({ inputMinimum }: LinearLayer): RowRange {
  if (inputMinimum === undefined) return { zeroPoint: 128, top: 127, minScale: 0 };
  const zeroPoint = 16;
  return { zeroPoint, top: 255 - zeroPoint, minScale: -inputMinimum / zeroPoint };
}

/** Adds a layer's codes, int8 [inputs, outputs], and their scales, float32 [outputs], which take its factors in. */
export function quantizedWeights(
  graph: GraphBuilder,
  layer: LinearLayer,
  arithmetic: Int8Arithmetic,
) {
  const { weight, inputs, outputs, inputFactor = 1, outputFactor = 1 } = layer;
  const shape = [outputs, inputs];
  const read = readWeight(layer);
  const quantize = (tensors: TensorSource) => {
    const values = read(tensors);
    if (values.length !== elementCount(shape)) throw new Error(`${weight.name} has another shape`);
    return quantizeWeight(values, outputs, maxWeightCode(arithmetic));
  };
  // Who reads codes reads their scales next: they are remembered, so that nothing is quantised twice.
  let last: { readonly tensors: TensorSource; readonly scales: Float32Array } | undefined;
  const codes = graph.int8Weight(`${weight.name}.codes`, [inputs, outputs], (tensors) => {
    const made = quantize(tensors);
    last = { tensors, scales: made.scales };
    return made.codes;
  });
  const scales = graph.weight(`${weight.name}.scales`, [outputs], (tensors) => {
    const made = last?.tensors === tensors ? last.scales : quantize(tensors).scales;
    return made.map((scale) => scale * inputFactor * outputFactor);
  });
  return { codes, scales };
}

function scalar(graph: GraphBuilder, value: number): string {
  return graph.constant(Float32Array.of(value), []);
}
