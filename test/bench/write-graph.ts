import { open, writeFile } from "node:fs/promises";
import { basename } from "node:path";
import { placeWeights } from "../../src/models/onnx/external-data.ts";
import type { Graph } from "../../src/models/onnx/graph.ts";
import { encodeModel } from "../../src/models/onnx/model-proto.ts";
import { seededTensors } from "../../src/models/seeded-tensors.ts";

/** Writes a graph with seeded tensors; these lie beside it, with `.data` appended. */
export async function writeGraph(path: string, graph: Graph): Promise<void> {
  const tensors = seededTensors("imagesvc");
  const file = await open(`${path}.data`, "w");
  try {
    for (const { weight, offset } of placeWeights(graph).placed) {
      const data = weight.read(tensors);
      await file.write(new Uint8Array(data.buffer, 0, data.byteLength), 0, undefined, offset);
    }
  } finally {
    await file.close();
  }
  await writeFile(path, encodeModel(graph, `${basename(path)}.data`));
}
