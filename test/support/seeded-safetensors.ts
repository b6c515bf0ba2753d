/** A whole CLIP's weights as a safetensors file, written tensor by tensor: up to 1.7 GB. */
import { open } from "node:fs/promises";
import type { ClipArchitecture } from "../../src/models/onnx/architecture.ts";
import { placeWeights } from "../../src/models/onnx/external-data.ts";
import { imageTower } from "../../src/models/onnx/image-tower.ts";
import { elementCount, type TensorSource } from "../../src/models/onnx/tensor-source.ts";
import { textTower } from "../../src/models/onnx/text-tower.ts";

/** Writes a file with every tensor of transformers' `CLIPModel`. */
export async function writeSafetensors(
  path: string,
  architecture: ClipArchitecture,
  tensors: TensorSource,
): Promise<{ readonly path: string; readonly bytes: number; readonly sha256: string }> {
  const shapes = shapesOf(architecture);
  const header: Record<string, unknown> = {};
  let offset = 0;
  for (const [name, shape] of shapes) {
    const end = offset + Float32Array.BYTES_PER_ELEMENT * elementCount(shape);
    header[name] = { dtype: "F32", shape, data_offsets: [offset, end] };
    offset = end;
  }
  const text = Buffer.from(JSON.stringify(header));
  const prefix = Buffer.alloc(8);
  prefix.writeBigUInt64LE(BigInt(text.length));
  const hash = new Bun.CryptoHasher("sha256");
  await using file = await open(path, "w");
  const write = async (bytes: Uint8Array) => {
    hash.update(bytes);
    await file.writeFile(bytes);
  };
  await write(prefix);
  await write(text);
  for (const [name, shape] of shapes) {
    await write(new Uint8Array(tensors.read(name, shape).buffer));
  }
  return { path, bytes: prefix.length + text.length + offset, sha256: hash.digest("hex") };
}

/**
 * Name and shape of every tensor that the two towers ask for, and of those that they do not need: the
 * scale of logits, and the keys' biases, which add the same to all of a query's scores.
 */
function shapesOf(architecture: ClipArchitecture): ReadonlyMap<string, readonly number[]> {
  const shapes = new Map<string, readonly number[]>([["logit_scale", []]]);
  const recorder: TensorSource = {
    read: (name, shape) => {
      shapes.set(name, shape);
      if (name.endsWith("q_proj.bias")) shapes.set(name.replace("q_proj", "k_proj"), shape);
      return new Float32Array(elementCount(shape));
    },
  };
  for (const graph of [imageTower(architecture), textTower(architecture)]) {
    for (const { weight } of placeWeights(graph).placed) weight.read(recorder);
  }
  return shapes;
}
