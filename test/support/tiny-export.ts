/** The tiny CLIP as others export it: a pair of ONNX files, each with its tensors inside. */
import { createHash } from "node:crypto";
import type { OnnxExport } from "../../src/models/catalog.ts";
import type { Graph } from "../../src/models/onnx/graph.ts";
import { imageTower } from "../../src/models/onnx/image-tower.ts";
import { encodeModel } from "../../src/models/onnx/model-proto.ts";
import { textTower } from "../../src/models/onnx/text-tower.ts";
import { tinyClip, tinyTensors } from "./tiny-clip.ts";

export interface TinyExport {
  /** By their paths in the repository. */
  readonly files: Readonly<Record<"onnx/vision_model.onnx" | "onnx/text_model.onnx", Uint8Array>>;
  /** What a manifest says of them. */
  readonly facts: OnnxExport;
}

/** @param change what is done to the image tower's graph before it is written. */
export function tinyExport(change: (graph: Graph) => Graph = (graph) => graph): TinyExport {
  const text = textTower(tinyClip);
  const mask = { name: "attention_mask", type: "int64", shape: ["batch", "length"] } as const;
  const files = {
    "onnx/vision_model.onnx": inOneFile(change(imageTower(tinyClip))),
    "onnx/text_model.onnx": inOneFile({ ...text, inputs: [...text.inputs, mask] }),
  };
  const factsOf = (path: keyof typeof files) => ({
    path,
    bytes: files[path].length,
    sha256: createHash("sha256").update(files[path]).digest("hex"),
  });
  const facts = {
    repository: "somebody/an-export",
    revision: "89abcdef0123456789abcdef0123456789abcdef",
    image: factsOf("onnx/vision_model.onnx"),
    text: factsOf("onnx/text_model.onnx"),
  };
  return { files, facts };
}

function inOneFile(graph: Graph): Uint8Array {
  const inside = graph.weights.map(({ name, shape, read }) => ({
    name,
    shape,
    values: read(tinyTensors),
  }));
  return encodeModel({ ...graph, weights: [], constants: [...graph.constants, ...inside] }, "none");
}
