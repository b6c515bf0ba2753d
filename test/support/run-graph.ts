import { writeFile } from "node:fs/promises";
import { join } from "node:path";
import { placeWeights } from "../../src/models/onnx/external-data.ts";
import type { Graph } from "../../src/models/onnx/graph.ts";
import { encodeModel } from "../../src/models/onnx/model-proto.ts";
import { loadOnnxruntime, openSession } from "../../workers/onnxruntime.ts";
import { temporaryFolder, tinyTensors } from "./tiny-clip.ts";

/**
 * Runs a graph of one input `x` and one output `y`, with the tiny CLIP's tensors.
 *
 * @param shape of `x`.
 */
export async function runGraph(
  model: Graph,
  x: Float32Array,
  shape: readonly number[],
): Promise<readonly number[]> {
  await using folder = await temporaryFolder();
  const path = join(folder.path, "graph.onnx");
  const { placed, totalBytes } = placeWeights(model);
  const data = new Uint8Array(totalBytes);
  for (const { weight, offset } of placed) {
    const { buffer, byteLength } = weight.read(tinyTensors);
    data.set(new Uint8Array(buffer, 0, byteLength), offset);
  }
  await writeFile(`${path}.data`, data);
  await writeFile(path, encodeModel(model, "graph.onnx.data"));
  const { Tensor } = await loadOnnxruntime();
  const session = await openSession(path, 1, {});
  const { y } = await session.run({ x: new Tensor("float32", x, shape) });
  const values = Array.from(y?.data ?? [], Number);
  await session.release();
  return values;
}
