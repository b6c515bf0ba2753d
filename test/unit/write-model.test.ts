import { expect, test } from "bun:test";
import { readdir, readFile, stat } from "node:fs/promises";
import { join } from "node:path";
import type { TensorSource } from "../../src/models/onnx/tensor-source.ts";
import { writeModel } from "../../workers/write-model.ts";
import { temporaryFolder, tinyClip, tinyTensors, writeTinyClip } from "../support/tiny-clip.ts";

const names = ["image.onnx", "image.onnx.data", "text.onnx", "text.onnx.data"];

/** A source that fails at the first tensor of which this is a part of the name. */
function failingAt(part: string): TensorSource {
  return {
    read(name, shape) {
      if (name.includes(part)) throw new Error(`no ${name}`);
      return tinyTensors.read(name, shape);
    },
  };
}

test("a model is two towers of two files each, and nothing else stays", async () => {
  await using folder = await temporaryFolder();
  await writeTinyClip(folder.path);
  expect((await readdir(folder.path)).sort()).toEqual(names);
});

test("a source that fails midway leaves nothing of that tower behind", async () => {
  await using folder = await temporaryFolder();
  const files = {
    imageTower: join(folder.path, "image.onnx"),
    textTower: join(folder.path, "text.onnx"),
  };
  const writing = writeModel(files, tinyClip, failingAt("text_model.encoder.layers.1"));
  await expect(writing).rejects.toThrow("no text_model.encoder.layers.1");
  expect((await readdir(folder.path)).sort()).toEqual(["image.onnx", "image.onnx.data"]);
});

test("tensors start at multiples of a page", async () => {
  await using folder = await temporaryFolder();
  const { imageTower } = await writeTinyClip(folder.path);
  const data = await readFile(`${imageTower}.data`);
  const first = new Uint8Array(
    tinyTensors.read("vision_model.embeddings.class_embedding", [16]).buffer,
  );
  const offset = data.indexOf(first);
  expect(offset).toBeGreaterThanOrEqual(0);
  expect(offset % 4096).toBe(0);
  expect((await stat(imageTower)).size).toBeLessThan(100_000);
});
