import { expect, test } from "bun:test";
import { writeFile } from "node:fs/promises";
import { join } from "node:path";
import type { TensorSource } from "../../src/models/onnx/tensor-source.ts";
import { createSession } from "../../workers/session.ts";
import { writeModel } from "../../workers/write-model.ts";
import { temporaryFolder, tinyClip, tinyTensors, writeTinyClip } from "../support/tiny-clip.ts";

const { dimensions } = tinyClip;
const { side } = tinyClip.vision;
const gray = new Float32Array(3 * side * side).fill(0.5);

test("a batch gives one vector an image, in memory that can be given away", async () => {
  await using folder = await temporaryFolder();
  const { imageTower } = await writeTinyClip(folder.path);
  const session = await createSession({ imageTower, dimensions, side, threads: 2 });
  const both = new Float32Array([...gray, ...gray]);
  const vectors = await session.run(both, 2);
  await session.release();
  expect(vectors).toHaveLength(2 * dimensions);
  expect(vectors.buffer.byteLength).toBe(2 * dimensions * 4);
  expect(structuredClone(vectors, { transfer: [vectors.buffer] })).toHaveLength(2 * dimensions);
});

test("a model that gives other dimensions than it should is refused", async () => {
  await using folder = await temporaryFolder();
  const { imageTower } = await writeTinyClip(folder.path);
  const session = await createSession({ imageTower, dimensions: 512, side, threads: 1 });
  await expect(session.run(gray, 1)).rejects.toThrow("float32 [1,12] instead of float32 [1,512]");
  await session.release();
});

test("a model that gives what is not a number is refused", async () => {
  const broken: TensorSource = {
    read(name, shape) {
      const values = tinyTensors.read(name, shape);
      return name === "visual_projection.weight" ? values.fill(Number.NaN, 0, 1) : values;
    },
  };
  await using folder = await temporaryFolder();
  const files = {
    imageTower: join(folder.path, "image.onnx"),
    textTower: join(folder.path, "text.onnx"),
  };
  await writeModel(files, tinyClip, broken);
  const session = await createSession({ ...files, dimensions, side, threads: 1 });
  await expect(session.run(gray, 1)).rejects.toThrow("a number that is not finite");
  await session.release();
});

test("a file that is no model is refused", async () => {
  await using folder = await temporaryFolder();
  const imageTower = join(folder.path, "image.onnx");
  await writeFile(imageTower, "not a model");
  await expect(createSession({ imageTower, dimensions, side, threads: 1 })).rejects.toThrow();
});
