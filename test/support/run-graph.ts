import { join } from "node:path";
import type { Graph } from "../../src/models/onnx/graph.ts";
import { loadOnnxruntime, openSession } from "../../workers/onnxruntime.ts";
import { writeGraph } from "../../workers/write-model.ts";
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
  await writeGraph(path, model, tinyTensors);
  const { Tensor } = await loadOnnxruntime();
  const session = await openSession(path, 1, {});
  const { y } = await session.run({ x: new Tensor("float32", x, shape) });
  const values = Array.from(y?.data ?? [], Number);
  await session.release();
  return values;
}
