import type { Graph, Weight } from "./graph.ts";
import { elementCount } from "./tensor-source.ts";

/** A weight's place in the file beside the protobuf. */
export interface PlacedWeight {
  readonly weight: Weight;
  /** Bytes from the start of the file. */
  readonly offset: number;
  readonly bytes: number;
}

/** ONNX's IR specification asks for offsets that can be memory-mapped: multiples of the page's size. */
const ALIGNMENT_BYTES = 4096;

const bytesPerElement: Readonly<Record<Weight["type"], number>> = { float32: 4, int8: 1 };

/** Lays the weights out one behind the other; the file ends with the last one. */
export function placeWeights({ weights }: Graph): {
  readonly placed: readonly PlacedWeight[];
  readonly totalBytes: number;
} {
  const placed: PlacedWeight[] = [];
  let totalBytes = 0;
  for (const weight of weights) {
    const offset = Math.ceil(totalBytes / ALIGNMENT_BYTES) * ALIGNMENT_BYTES;
    const bytes = elementCount(weight.shape) * bytesPerElement[weight.type];
    placed.push({ weight, offset, bytes });
    totalBytes = offset + bytes;
  }
  return { placed, totalBytes };
}
