/** The int8 image tower: made beside a model, kept while it looks unchanged, and made anew when it does not. */
import { expect, test } from "bun:test";
import { createHash } from "node:crypto";
import { chmod, mkdir, readdir, readFile, rm, stat, writeFile } from "node:fs/promises";
import { dirname, join } from "node:path";
import { createHub } from "../../src/models/hub.ts";
import { installedModel } from "../../src/models/installed-model.ts";
import type { Int8Arithmetic } from "../../src/models/onnx/arithmetic.ts";
import {
  int8FilesOf,
  int8Folder,
  isPreparedName,
  modelFilesIn,
  preparedFolder,
} from "../../src/models/prepared.ts";
import { preparedState } from "../../src/models/prepared-check.ts";
import { removeModel } from "../../src/models/remove-model.ts";
import { createSyntheticSupply, createWeightsSupply } from "../../src/models/weights-supply.ts";
import { prepareModel } from "../../workers/prepare-model.ts";
import { defaultModel } from "../support/default-model.ts";
import { temporaryFolder, tinyClip, tinyTensors } from "../support/tiny-clip.ts";
import { tinySafetensors } from "../support/tiny-safetensors.ts";

/** What a model is made from, in a folder. */
async function publish(place: string) {
  const bytes = tinySafetensors(tinyClip, tinyTensors);
  const path = join(place, "model.safetensors");
  await writeFile(path, bytes);
  const sha256 = createHash("sha256").update(bytes).digest("hex");
  const facts = { bytes: bytes.length, sha256, architecture: tinyClip };
  return { folder: join(place, "prepared"), from: { kind: "weights", path, ...facts } as const };
}

test("it lies in a folder of its own, with a record and packed, and the texts' tower is the model's", async () => {
  await using place = await temporaryFolder();
  const { folder, from } = await publish(place.path);
  const made = await prepareModel({ folder, from, int8: "int8" });
  const int8 = int8Folder(folder, "int8");
  expect(made).toMatchObject({
    imageTower: modelFilesIn(int8).imageTower,
    textTower: modelFilesIn(folder).textTower,
    packed: {
      imageTower: expect.stringContaining(`${int8}/packed-`),
      textTower: expect.stringContaining(`${folder}/packed-`),
    },
  });
  const names = (await readdir(int8)).filter((name) => !name.startsWith("packed-"));
  expect(names.sort()).toEqual(["checked.json", "image.onnx", "image.onnx.data"]);
  expect(await preparedState(int8FilesOf(folder, "int8"), tinyClip, from.sha256)).toBe("complete");
});

test("what was written once needs the weights no more, and neither it nor the fp32 model is written again", async () => {
  await using place = await temporaryFolder();
  const { folder, from } = await publish(place.path);
  await prepareModel({ folder, from });
  const inodeOf = async (path: string) => (await stat(path)).ino;
  const text = modelFilesIn(folder).textTower;
  const before = await inodeOf(text);
  const lacking = { ...from, path: undefined };
  expect(await prepareModel({ folder, from: lacking, int8: "int8" })).toEqual({
    unavailable:
      "The weights are not on this host, nor an unchanged image.onnx in int8 that was made from them.",
  });
  await prepareModel({ folder, from, int8: "int8" });
  const { imageTower } = int8FilesOf(folder, "int8");
  const made = await inodeOf(imageTower);
  expect(await prepareModel({ folder, from: lacking, int8: "int8" })).toMatchObject({ imageTower });
  expect([await inodeOf(text), await inodeOf(imageTower)]).toEqual([before, made]);
});

test("one changed byte of its codes is noticed and made good", async () => {
  await using place = await temporaryFolder();
  const { folder, from } = await publish(place.path);
  await prepareModel({ folder, from, int8: "int8" });
  const files = int8FilesOf(folder, "int8");
  const data = `${files.imageTower}.data`;
  const right = await readFile(data);
  const damaged = Buffer.from(right);
  damaged[0] = 1 ^ (damaged[0] ?? 0);
  await chmod(data, 0o600);
  await writeFile(data, damaged);
  expect(await preparedState(files, tinyClip, from.sha256)).toBe("changed");
  await prepareModel({ folder, from, int8: "int8" });
  expect(await readFile(data)).toEqual(right);
});

test("7 and 8 bits lie in folders of their own, and none of them is the fp32 model's", async () => {
  await using place = await temporaryFolder();
  const { folder, from } = await publish(place.path);
  const towerOf = async (int8?: Int8Arithmetic) => {
    const made = await prepareModel({ folder, from, ...(int8 && { int8 }) });
    return "imageTower" in made ? made.imageTower : "";
  };
  const towers = [await towerOf(), await towerOf("int8"), await towerOf("int8-7bit")];
  expect(new Set(towers.map(dirname)).size).toBe(3);
});

test("weights with a number that is not finite give no tower", async () => {
  await using place = await temporaryFolder();
  const { folder } = await publish(place.path);
  const broken = tinySafetensors(tinyClip, {
    read: (name, shape) => {
      const values = tinyTensors.read(name, shape);
      return name.endsWith("fc1.weight") ? values.fill(Number.NaN, 0, 1) : values;
    },
  });
  const path = join(place.path, "broken.safetensors");
  await writeFile(path, broken);
  const sha256 = createHash("sha256").update(broken).digest("hex");
  const from = {
    kind: "weights",
    path,
    bytes: broken.length,
    sha256,
    architecture: tinyClip,
  } as const;
  expect(await prepareModel({ folder, from, int8: "int8" })).toHaveProperty("unavailable");
});

test("a model that is removed takes it along, of whichever bits and version", async () => {
  await using place = await temporaryFolder();
  const { sha256 } = defaultModel.source;
  const folder = preparedFolder(join(place.path, "prepared"), defaultModel.id, sha256);
  for (const int8 of ["int8", "int8-7bit"] as const) {
    await mkdir(int8Folder(folder, int8), { recursive: true });
  }
  const model = installedModel(place.path, {}, defaultModel.id, defaultModel);
  expect(await removeModel(model)).toBe("removed");
  const left = await readdir(join(place.path, "prepared"));
  expect(left.filter((name) => !name.endsWith(".lock"))).toEqual([]);
  expect(
    isPreparedName(`${defaultModel.id.toLowerCase()}-12345678-v2-int9-v1`, defaultModel.id),
  ).toBeFalse();
});

test("a supply names it, and its texts as ever", async () => {
  const { id } = defaultModel;
  const synthetic = createSyntheticSupply("models", id, tinyClip, "int8");
  expect([synthetic.exactId, synthetic.textId]).toEqual([
    `${id}@synthetic-int8`,
    `${id}@synthetic`,
  ]);
  expect(await synthetic.find()).toHaveProperty("int8");
  const hub = createHub({
    endpoint: "http://127.0.0.1:1",
    token: "",
    proxy: undefined,
    isOffline: true,
  });
  const model = installedModel("models", {}, id, defaultModel);
  const own = createWeightsSupply(model, hub, "int8");
  expect([own.exactId, own.textId]).toEqual([`${id}@int8`, id]);
  const pinned = {
    ...model,
    pinned: model.published && { ...model.published, sha256: "0123abcd".repeat(8) },
  };
  const ofOperator = createWeightsSupply(pinned, hub, "int8");
  expect([ofOperator.exactId, ofOperator.textId]).toEqual([
    `${id}@0123abcd-int8`,
    `${id}@0123abcd`,
  ]);
});

test("a published ONNX pair is not served in its place, and the sentence names both ways", async () => {
  await using place = await temporaryFolder();
  const tower = (path: string) => ({ path, bytes: 3, sha256: "0".repeat(64) });
  const onnx = {
    repository: "x/y",
    revision: "0",
    image: tower("onnx/vision_model.onnx"),
    text: tower("onnx/text_model.onnx"),
  };
  const { id } = defaultModel;
  const model = installedModel(place.path, {}, id, { ...defaultModel, onnx });
  await mkdir(join(place.path, id, "onnx"), { recursive: true });
  for (const name of ["vision_model.onnx", "text_model.onnx"]) {
    await writeFile(join(place.path, id, "onnx", name), "abc");
  }
  const hub = createHub({
    endpoint: "http://127.0.0.1:1",
    token: "",
    proxy: undefined,
    isOffline: true,
  });
  const fp32 = createWeightsSupply(model, hub);
  expect(await fp32.find()).toHaveProperty("from.kind", "onnx");
  const int8 = createWeightsSupply(model, hub, "int8");
  expect(await int8.find()).toHaveProperty("from.kind", "weights");
  expect(await int8.findFault()).toBe(
    "The published ONNX pair is here, but CLIP_PRECISION=int8 is made from the weights themselves: with CLIP_PRECISION=fp32 the pair is served.",
  );
  await rm(join(place.path, id, "onnx"), { recursive: true });
  expect(await int8.findFault()).toBeUndefined();
});
