/** Linear layers whose products are of bytes: rows of the input by their own size, outputs by a scale of their own. */
import { type Int8Arithmetic, maxWeightCode } from "./arithmetic.ts";
import type { GraphBuilder, Opset } from "./graph.ts";
import { type Linear, type LinearLayer, readBias, readWeight } from "./linear.ts";
import { quantizeWeight } from "./quantized-weight.ts";
import { elementCount, type TensorSource } from "./tensor-source.ts";

/** Of a graph with such layers: `QuantizeLinear` came to take blocks with this version. */
export const INT8_OPSET: Opset = 21;

/** Rows as unsigned bytes: row ≈ (codes - zeroPoint) · step · scale. */
export interface QuantizedRows {
  /** uint8, [rows, inputs]. */
  readonly codes: string;
  /** uint8, the same of all rows. */
  readonly zeroPoint: string;
  /** The same of all rows; 1 unless given. */
  readonly step?: number;
  /** float32, [rows, 1]; absent where it is 1 of all rows. */
  readonly scale?: string;
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
 * No row's codes depend on another row, so that a vector does not depend on what else is in the batch, by any bit.
 * Where a norm has brought all rows to one size, one step from code to code does for all. Elsewhere each row has a
 * scale, its largest magnitude over 127; where the input is known not to go far below 0, as behind an activation, its
 * codes begin there, and almost a bit more is left for the rest. A row of zeros has the scale 0, by which whatever its
 * codes are is multiplied.
 */
export function int8Linear(graph: GraphBuilder, arithmetic: Int8Arithmetic): Linear {
  const quantized = new Map<string, QuantizedRows>();
  const zeroPoints = new Map<number, string>();
  const zeroPointsByRow = new Map<number, string>();

  const zeroPointOf = (code: number): string => {
    const known = zeroPoints.get(code) ?? graph.constant(Uint8Array.of(code), []);
    zeroPoints.set(code, known);
    return known;
  };

  /** @param scale whose shape is what `QuantizeLinear` wants of the zero point too. */
  const zeroPointByRow = (code: number, scale: string): string => {
    const known =
      zeroPointsByRow.get(code) ??
      graph.node("Expand", [zeroPointOf(code), graph.node("Shape", [scale])]);
    zeroPointsByRow.set(code, known);
    return known;
  };

  const quantizeRows = (x: string, layer: LinearLayer): QuantizedRows => {
    const { zeroPoint, top, minScale } = rangeOf(layer);
    const magnitudes = minScale > 0 ? x : graph.node("Abs", [x]);
    const largest = graph.node("ReduceMax", [magnitudes, graph.integers(-1)], {
      keepdims: { int: 1 },
    });
    const spread = graph.node("Mul", [largest, scalar(graph, 1 / top)]);
    const scale = minScale > 0 ? graph.node("Max", [spread, scalar(graph, minScale)]) : spread;
    // A row is one block: onnxruntime's kernel of blocks takes all threads, that of an axis takes one.
    const codes = graph.node("QuantizeLinear", [x, scale, zeroPointByRow(zeroPoint, scale)], {
      axis: { int: 1 },
      block_size: { int: layer.inputs },
    });
    return { codes, scale, zeroPoint: zeroPointOf(zeroPoint) };
  };

  const quantizeAlike = (x: string, limit: number): QuantizedRows => {
    const step = limit / SYMMETRIC.top;
    const zeroPoint = zeroPointOf(SYMMETRIC.zeroPoint);
    const codes = graph.node("QuantizeLinear", [x, scalar(graph, step), zeroPoint]);
    return { codes, zeroPoint, step };
  };

  return (x, layer, output) => {
    const { inputLimit } = layer;
    const quantize = () =>
      inputLimit === undefined ? quantizeRows(x, layer) : quantizeAlike(x, inputLimit);
    const rows = quantized.get(x) ?? quantize();
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
  const { step = 1 } = rows;
  const { codes, scales } = quantizedWeights(graph, layer, arithmetic);
  const bias = biasOf(graph, layer);
  const operands = [rows.codes, codes, scalar(graph, step), scales, rows.zeroPoint];
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

/** Codes on either side of 128. */
const SYMMETRIC: RowRange = { zeroPoint: 128, top: 127, minScale: 0 };

/** Symmetric; or from where the input begins. */
function rangeOf({ inputMinimum }: LinearLayer): RowRange {
  if (inputMinimum === undefined) return SYMMETRIC;
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
