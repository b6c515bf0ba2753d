import type { TensorSource } from "./tensor-source.ts";

/** ONNX's `TensorProto.DataType`, as far as it is used here. */
export const elementTypes = { float32: 1, uint8: 2, int8: 3, int32: 6, int64: 7 } as const;
export type ElementType = keyof typeof elementTypes;

/** The type of ONNX's attributes cannot be told from a number, so it is named. */
export type Attribute =
  | { readonly int: number }
  | { readonly float: number }
  | { readonly ints: readonly number[] };

export type Attributes = Readonly<Record<string, Attribute>>;

/** One application of an operator. */
export interface GraphNode {
  readonly operator: string;
  readonly domain: "" | typeof CONTRIB_DOMAIN;
  readonly inputs: readonly string[];
  readonly output: string;
  readonly attributes: Attributes;
}

/** An input or output of the whole graph; a dimension with a name is dynamic. */
export interface ValueInfo {
  readonly name: string;
  readonly type: ElementType;
  readonly shape: readonly (number | string)[];
}

/** A small tensor that is part of the structure and lies inside the protobuf. */
export interface Constant {
  readonly name: string;
  readonly shape: readonly number[];
  readonly values:
    | Float32Array<ArrayBuffer>
    | BigInt64Array<ArrayBuffer>
    | Uint8Array<ArrayBuffer>
    | Int8Array<ArrayBuffer>;
}

/** A tensor of the model, which lies in the file beside the protobuf. */
export interface Weight {
  readonly name: string;
  readonly type: "float32" | "int8";
  readonly shape: readonly number[];
  /** Makes the values, of that type and shape, row-major. */
  readonly read: (tensors: TensorSource) => Float32Array<ArrayBuffer> | Int8Array<ArrayBuffer>;
}

/** Makes a float32 tensor's values, row-major. */
export type ReadFloats = (tensors: TensorSource) => Float32Array<ArrayBuffer>;

/** A version of ONNX's own operators. */
export type Opset = 17 | 21;
/** `LayerNormalization` came with it. */
const PLAIN_OPSET: Opset = 17;

/** A model without its weights' values. */
export interface Graph {
  readonly name: string;
  readonly opset: Opset;
  readonly inputs: readonly ValueInfo[];
  readonly outputs: readonly ValueInfo[];
  readonly nodes: readonly GraphNode[];
  readonly constants: readonly Constant[];
  readonly weights: readonly Weight[];
}

/** Collects a graph. Values are referred to by name; every method returns the name of what it made. */
export interface GraphBuilder {
  input(info: ValueInfo): string;
  /** Declares that an existing value is an output. */
  output(info: ValueInfo): void;
  /** Adds a node; its result gets a name of its own unless `output` is given. */
  node(
    operator: string,
    inputs: readonly string[],
    attributes?: Attributes,
    output?: string,
  ): string;
  /** A float32 tensor as the source has it, or as `read` makes it. */
  weight(name: string, shape: readonly number[], read?: ReadFloats): string;
  /** An int8 tensor as `read` makes it. */
  int8Weight(
    name: string,
    shape: readonly number[],
    read: (tensors: TensorSource) => Int8Array<ArrayBuffer>,
  ): string;
  constant(values: Constant["values"], shape: readonly number[]): string;
  /** An int64 vector, such as a shape; equal ones are shared. */
  integers(...values: readonly number[]): string;
  finish(): Graph;
}

/** Operators of onnxruntime's own set: docs/ContribOperators.md there. */
export const CONTRIB_DOMAIN = "com.microsoft";
const contribOperators: ReadonlySet<string> = new Set([
  "DynamicQuantizeMatMul",
  "FusedMatMul",
  "MatMulIntegerToFloat",
  "QuickGelu",
]);

/** Starts an empty graph. */
export function createGraphBuilder(name: string, opset: Opset = PLAIN_OPSET): GraphBuilder {
  const inputs: ValueInfo[] = [];
  const outputs: ValueInfo[] = [];
  const nodes: GraphNode[] = [];
  const constants: Constant[] = [];
  const weights: Weight[] = [];

  const constant = (values: Constant["values"], shape: readonly number[], as?: string): string => {
    const made = as ?? `constant_${constants.length}`;
    constants.push({ name: made, shape, values });
    return made;
  };

  return {
    input(info) {
      inputs.push(info);
      return info.name;
    },
    output(info) {
      outputs.push(info);
    },
    node(operator, nodeInputs, attributes = {}, output = `${operator}_${nodes.length}`) {
      const domain = contribOperators.has(operator) ? CONTRIB_DOMAIN : "";
      nodes.push({ operator, domain, inputs: nodeInputs, output, attributes });
      return output;
    },
    weight(weightName, shape, read = (tensors) => tensors.read(weightName, shape)) {
      weights.push({ name: weightName, type: "float32", shape, read });
      return weightName;
    },
    int8Weight(weightName, shape, read) {
      weights.push({ name: weightName, type: "int8", shape, read });
      return weightName;
    },
    constant,
    integers(...values) {
      const shared = `integers_${values.join("_")}`;
      if (constants.some((one) => one.name === shared)) return shared;
      return constant(BigInt64Array.from(values, BigInt), [values.length], shared);
    },
    finish: () => ({ name, opset, inputs, outputs, nodes, constants, weights }),
  };
}
