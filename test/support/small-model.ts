/** The default model with a small architecture: 13 MB, of which almost all is its table of tokens. */
import { join } from "node:path";
import type { WeightsSource } from "../../src/models/catalog.ts";
import type { ClipArchitecture } from "../../src/models/onnx/architecture.ts";
import { seededTensors } from "../../src/models/seeded-tensors.ts";
import { defaultModel } from "./default-model.ts";
import { tinySafetensors } from "./tiny-safetensors.ts";

/** As large in every way as one with the real vocabulary can be small. */
const architecture: ClipArchitecture = {
  dimensions: 12,
  vision: { layers: 2, width: 64, heads: 2, mlp: 128, side: 32, patch: 8 },
  text: {
    layers: 1,
    width: 64,
    heads: 2,
    mlp: 128,
    maxTokens: 77,
    vocabulary: 49_408,
    endToken: 49_407,
  },
};

export const smallModel = { id: defaultModel.id, architecture };

/** Its published weights. */
export function smallWeights(): Uint8Array<ArrayBuffer> {
  return tinySafetensors(architecture, seededTensors("small"));
}

/**
 * Writes a manifest of this model alone.
 *
 * @param source what is said to be published of it.
 * @returns what a process needs that is to run with it: the beginning of its command line, and its environment.
 */
export async function smallProgram(folder: string, source: WeightsSource) {
  const path = join(folder, "manifest.json");
  const { id, golden: _golden, onnx: _onnx, ...description } = defaultModel;
  const model = { ...description, architecture, source };
  await Bun.write(path, JSON.stringify({ [id]: model }));
  const [preload, main] = ["replaced-modules.ts", "../../src/main.ts"].map((file) =>
    join(import.meta.dir, file),
  );
  return {
    program: [process.execPath, "--preload", preload ?? "", main ?? ""],
    environment: { MANIFEST_FILE: path },
  } as const;
}
