import { expect, test } from "bun:test";
import { existsSync, renameSync } from "node:fs";
import { writeFile } from "node:fs/promises";
import { basename, join } from "node:path";
import { checkFile, readCheckedFiles, writeCheckedFiles } from "../../src/models/checked-files.ts";
import { imageTower } from "../../src/models/onnx/image-tower.ts";
import { encodeModel } from "../../src/models/onnx/model-proto.ts";
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

test("where a folder has a record, what it does not name is not loaded, and what it names wrongly neither", async () => {
  await using folder = await temporaryFolder();
  const { imageTower } = await writeTinyClip(folder.path);
  const open = async () => {
    const session = await createSession({ imageTower, dimensions, side, threads: 1 });
    await session.release();
  };
  await open();
  const graph = await checkFile(imageTower);
  const data = await checkFile(`${imageTower}.data`);
  const names = { "image.onnx": graph, "image.onnx.data": data };
  await writeCheckedFiles(folder.path, names);
  await open();
  const wrong = { ...graph, inode: "0", sha256: "0".repeat(64) };
  for (const [record, named] of [
    [{}, "image.onnx"],
    [{ "image.onnx.data": data }, "image.onnx"],
    [{ "image.onnx": graph }, "image.onnx.data"],
    [{ ...names, "image.onnx": wrong }, "image.onnx"],
  ] as const) {
    await writeCheckedFiles(folder.path, record);
    await expect(open()).rejects.toThrow(`${named} was changed since it was checked`);
  }
  await writeFile(join(folder.path, "checked.json"), "{");
  await expect(open()).rejects.toThrow("image.onnx was changed since it was checked");
});

test("a graph that is swapped between the look and the opening is refused", async () => {
  await using folder = await temporaryFolder();
  const { imageTower: path } = await writeTinyClip(folder.path);
  for (const name of [path, `${path}.data`]) await writeRecordOf(folder.path, name);
  const { vision } = tinyClip;
  const foreign = imageTower({ ...tinyClip, vision: { ...vision, heads: 4 } });
  await writeFile(`${path}.new`, encodeModel(foreign, "image.onnx.data"));
  // Read after the look, and before onnxruntime is called.
  const own = {
    get graphOptimizationLevel() {
      if (existsSync(`${path}.new`)) renameSync(`${path}.new`, path);
      return "all" as const;
    },
  };
  const model = { imageTower: path, dimensions, side, threads: 1 };
  await expect(createSession(model, own)).rejects.toThrow(
    "image.onnx was changed since it was checked",
  );
  expect(existsSync(`${path}.new`)).toBe(false);
});

async function writeRecordOf(folder: string, path: string): Promise<void> {
  const record = await readCheckedFiles(folder);
  await writeCheckedFiles(folder, { ...record, [basename(path)]: await checkFile(path) });
}

test("a file that is no model is refused", async () => {
  await using folder = await temporaryFolder();
  const imageTower = join(folder.path, "image.onnx");
  await writeFile(imageTower, "not a model");
  await expect(createSession({ imageTower, dimensions, side, threads: 1 })).rejects.toThrow();
});
