import type { ClipArchitecture } from "../../src/models/onnx/architecture.ts";
import { placeWeights } from "../../src/models/onnx/external-data.ts";
import { imageTower } from "../../src/models/onnx/image-tower.ts";
import { elementCount, type TensorSource } from "../../src/models/onnx/tensor-source.ts";
import { textTower } from "../../src/models/onnx/text-tower.ts";

/** A safetensors file with every tensor that the two towers read. */
export function tinySafetensors(
  architecture: ClipArchitecture,
  tensors: TensorSource,
): Uint8Array<ArrayBuffer> {
  const asked = new Map<string, readonly number[]>();
  const recorder: TensorSource = {
    read: (name, shape) => {
      asked.set(name, shape);
      return tensors.read(name, shape);
    },
  };
  for (const graph of [imageTower(architecture), textTower(architecture)]) {
    for (const { weight } of placeWeights(graph).placed) weight.read(recorder);
  }
  const parts: Float32Array[] = [];
  const header: Record<string, unknown> = {};
  let offset = 0;
  for (const [name, shape] of asked) {
    const end = offset + 4 * elementCount(shape);
    header[name] = { dtype: "F32", shape, data_offsets: [offset, end] };
    parts.push(tensors.read(name, shape));
    offset = end;
  }
  const text = new TextEncoder().encode(JSON.stringify(header));
  const file = new Uint8Array(8 + text.length + offset);
  new DataView(file.buffer).setBigUint64(0, BigInt(text.length), true);
  file.set(text, 8);
  let at = 8 + text.length;
  for (const part of parts) {
    file.set(new Uint8Array(part.buffer, part.byteOffset, part.byteLength), at);
    at += part.byteLength;
  }
  return file;
}
