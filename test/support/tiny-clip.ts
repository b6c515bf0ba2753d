import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { catalog } from "../../src/models/catalog.ts";
import type { ClipArchitecture } from "../../src/models/onnx/architecture.ts";
import type { TensorSource } from "../../src/models/onnx/tensor-source.ts";
import { type ModelFiles, modelFilesIn } from "../../src/models/prepared.ts";
import { seededTensors } from "../../src/models/seeded-tensors.ts";
import { writeModel } from "../../workers/write-model.ts";

/** A CLIP in which every number differs from its neighbours, so that a mix-up shows. */
export const tinyClip: ClipArchitecture = {
  dimensions: 12,
  vision: { layers: 2, width: 16, heads: 2, mlp: 40, side: 12, patch: 4 },
  text: { layers: 2, width: 24, heads: 3, mlp: 56, maxTokens: 9, vocabulary: 30, endToken: 29 },
};

/** What a model of the family wants its pixels to be. */
export const clipInput = catalog["clip-ViT-B-32"].preprocessing;

/** Seeded tensors whose biases and embeddings are as large as the rest, so that one left out shows. */
export const tinyTensors: TensorSource = {
  read(name, shape) {
    const values = seededTensors("tiny").read(name, shape);
    return /bias|embedding/.test(name) ? values.map((value) => value * 20) : values;
  },
};

/** A folder that is gone when the test is over. */
export async function temporaryFolder(): Promise<{ readonly path: string } & AsyncDisposable> {
  const path = await mkdtemp(join(tmpdir(), "imagesvc-"));
  return { path, [Symbol.asyncDispose]: () => rm(path, { recursive: true }) };
}

/** Writes the tiny CLIP into a folder. */
export async function writeTinyClip(folder: string): Promise<ModelFiles> {
  const files = modelFilesIn(folder);
  await writeModel(files, tinyClip, tinyTensors);
  return files;
}
