/** Linear layers, whichever arithmetic multiplies. */
import type { GraphBuilder, ReadFloats } from "./graph.ts";

/** A tensor of the source, or what `read` makes of several. */
export interface NamedTensor {
  readonly name: string;
  readonly read?: ReadFloats;
}

/** A Linear as transformers has it. */
export interface LinearLayer {
  /** [outputs, inputs]. */
  readonly weight: NamedTensor;
  readonly inputs: number;
  readonly outputs: number;
  /** [outputs]; absent where there is none. */
  readonly bias?: NamedTensor;
  /** What the input is multiplied by first; 1 unless given. */
  readonly inputFactor?: number;
  /** What the result, its bias included, is multiplied by; 1 unless given. */
  readonly outputFactor?: number;
  /** A negative number below which none of the input lies, where that is known. */
  readonly inputMinimum?: number;
  /** A magnitude beyond which the input may be cut off, where all rows are of one size. */
  readonly inputLimit?: number;
}

/** A layer that has a bias. */
export type BiasedLayer = LinearLayer & { readonly bias: NamedTensor };

/** Reads a layer's weight, [outputs, inputs]. */
export function readWeight({ weight, outputs, inputs }: LinearLayer): ReadFloats {
  return weight.read ?? ((tensors) => tensors.read(weight.name, [outputs, inputs]));
}

/** Reads a layer's bias, [outputs]; zeros where it has none. */
export function readBias({ bias, outputs }: Pick<LinearLayer, "bias" | "outputs">): ReadFloats {
  if (bias === undefined) return () => new Float32Array(outputs);
  return bias.read ?? ((tensors) => tensors.read(bias.name, [outputs]));
}

/**
 * Adds a layer to a graph: rows [rows, inputs] become
 * `outputFactor · (inputFactor · x · weightᵀ + bias)`, [rows, outputs].
 */
export type Linear = (x: string, layer: LinearLayer, output?: string) => string;

/** Layers in float32. The factors cost nothing: they are those of BLAS's GEMM. */
export function float32Linear(graph: GraphBuilder): Linear {
  return (x, { weight, bias, inputs, outputs, inputFactor = 1, outputFactor = 1 }, output) => {
    const operands = [x, graph.weight(weight.name, [outputs, inputs], weight.read)];
    if (bias !== undefined) operands.push(graph.weight(bias.name, [outputs], bias.read));
    const alpha = inputFactor * outputFactor;
    const attributes = {
      transB: { int: 1 },
      ...(alpha === 1 ? {} : { alpha: { float: alpha } }),
      ...(outputFactor === 1 ? {} : { beta: { float: outputFactor } }),
    };
    return graph.node("Gemm", operands, attributes, output);
  };
}
