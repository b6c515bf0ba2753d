/** A model's towers: written from weights, kept while they look unchanged, and made anew when they do not. */
import { expect, test } from "bun:test";
import { createHash } from "node:crypto";
import {
  appendFile,
  chmod,
  cp,
  mkdir,
  readdir,
  readFile,
  rename,
  rm,
  stat,
  truncate,
  utimes,
  writeFile,
} from "node:fs/promises";
import { join } from "node:path";
import type { TowerSource } from "../../src/backends/protocol.ts";
import { readCheckedFiles, writeCheckedFiles } from "../../src/models/checked-files.ts";
import { encodeModel } from "../../src/models/onnx/model-proto.ts";
import type { TensorSource } from "../../src/models/onnx/tensor-source.ts";
import { textTower } from "../../src/models/onnx/text-tower.ts";
import { isPackedName, thisPackingHost } from "../../src/models/packed.ts";
import { modelFilesIn } from "../../src/models/prepared.ts";
import { preparedState } from "../../src/models/prepared-check.ts";
import { tryLockFile } from "../../src/native/file-lock.ts";
import { prepareModel } from "../../workers/prepare-model.ts";
import { smallModel } from "../support/small-model.ts";
import { temporaryFolder, tinyClip, tinyTensors, writeTinyClip } from "../support/tiny-clip.ts";
import { tinySafetensors } from "../support/tiny-safetensors.ts";

type Weights = Extract<TowerSource, { kind: "weights" }>;

const seed = { kind: "seed", architecture: tinyClip } as const;

/** A weights file in a folder, and the folder of what is to be made from it. */
async function publish(
  place: string,
  tensors: TensorSource = tinyTensors,
): Promise<{ folder: string; from: Weights & { path: string } }> {
  const bytes = tinySafetensors(tinyClip, tensors);
  const path = join(place, "model.safetensors");
  await writeFile(path, bytes);
  const sha256 = createHash("sha256").update(bytes).digest("hex");
  const facts = { bytes: bytes.length, sha256, architecture: tinyClip };
  return { folder: join(place, "prepared"), from: { kind: "weights", path, ...facts } };
}

/** Tensors of which one has no numbers. */
function brokenIn(tensor: string): TensorSource {
  return {
    read: (name, shape) => {
      const values = tinyTensors.read(name, shape);
      return name === tensor ? values.fill(Number.NaN) : values;
    },
  };
}

/** The four files, and when each was last written. */
async function look(folder: string) {
  const { imageTower, textTower } = modelFilesIn(folder);
  const paths = [imageTower, `${imageTower}.data`, textTower, `${textTower}.data`];
  const bytes = await Promise.all(paths.map((path) => readFile(path)));
  const inodes = await Promise.all(paths.map(async (path) => (await stat(path)).ino));
  return { bytes, inodes };
}

test("a safetensors file becomes the same graph as the tensors themselves", async () => {
  await using place = await temporaryFolder();
  const { folder, from } = await publish(place.path);
  expect(await prepareModel({ folder, from })).toMatchObject(modelFilesIn(folder));
  await writeTinyClip(place.path);
  expect((await look(folder)).bytes).toEqual((await look(place.path)).bytes);
});

test("what was written once needs the weights no more, and is not written again", async () => {
  await using place = await temporaryFolder();
  const { folder, from } = await publish(place.path);
  await prepareModel({ folder, from });
  const written = await look(folder);
  await rm(from.path);
  const without = { ...from, path: undefined };
  expect(await prepareModel({ folder, from: without })).toMatchObject(modelFilesIn(folder));
  expect(await look(folder)).toEqual(written);
});

test("one changed byte of the tensors is noticed, though the length is the same, and made good", async () => {
  await using place = await temporaryFolder();
  const { folder, from } = await publish(place.path);
  await prepareModel({ folder, from });
  const { bytes } = await look(folder);
  const data = `${modelFilesIn(folder).textTower}.data`;
  const { atime, mtime } = await stat(data);
  const damaged = await readFile(data);
  damaged[0] = 1 ^ (damaged[0] ?? 0);
  await chmod(data, 0o600);
  await writeFile(data, damaged);
  // Whoever sets the time back does not hide it: that of the change stays.
  await utimes(data, atime, mtime);
  expect(await preparedState(modelFilesIn(folder), tinyClip, from.sha256)).toBe("changed");
  expect(await prepareModel({ folder, from: { ...from, path: undefined } })).toEqual({
    unavailable:
      "The weights are not on this host, nor an unchanged image.onnx that was made from them.",
  });
  await prepareModel({ folder, from });
  expect((await look(folder)).bytes).toEqual(bytes);
  expect(await preparedState(modelFilesIn(folder), tinyClip, from.sha256)).toBe("complete");
});

test("a copy of the folder is hashed once, and needs no weights", async () => {
  await using place = await temporaryFolder();
  const { folder, from } = await publish(place.path);
  await prepareModel({ folder, from });
  const copy = join(place.path, "copy");
  await cp(folder, copy, { recursive: true });
  const without = { ...from, path: undefined };
  expect(await preparedState(modelFilesIn(copy), tinyClip, from.sha256)).toBe("changed");
  expect(await prepareModel({ folder: copy, from: without })).toMatchObject(modelFilesIn(copy));
  expect(await preparedState(modelFilesIn(copy), tinyClip, from.sha256)).toBe("complete");
});

test("towers without a record, or with that of other weights, are made anew", async () => {
  await using place = await temporaryFolder();
  const { folder, from } = await publish(place.path);
  await mkdir(folder);
  await writeTinyClip(folder);
  const before = await look(folder);
  await prepareModel({ folder, from });
  const after = await look(folder);
  expect(after.bytes).toEqual(before.bytes);
  expect(after.inodes).not.toEqual(before.inodes);
  const other = { ...from, sha256: "f".repeat(64), path: undefined };
  expect(await prepareModel({ folder, from: other })).toHaveProperty("unavailable");
  await writeFile(join(folder, "checked.json"), "[{}");
  expect(await preparedState(modelFilesIn(folder), tinyClip, from.sha256)).toBe("changed");
});

test("a record of an earlier version, which names no graph, is made anew, and not trusted", async () => {
  await using place = await temporaryFolder();
  const { folder, from } = await publish(place.path);
  await prepareModel({ folder, from });
  const before = await look(folder);
  const whole = await readCheckedFiles(folder);
  const entries = Object.entries(whole).filter(([name]) => !name.endsWith(".onnx"));
  expect(entries.map(([name]) => name)).toEqual(["weights", "image.onnx.data", "text.onnx.data"]);
  const earlier = Object.fromEntries(entries);
  await writeCheckedFiles(folder, earlier);
  const files = modelFilesIn(folder);
  expect(await preparedState(files, tinyClip, from.sha256)).toBe("changed");
  // Where the tensors are still what it says, the weights are not needed.
  await prepareModel({ folder, from: { ...from, path: undefined } });
  expect(await readCheckedFiles(folder)).toEqual(whole);
  expect(await look(folder)).toEqual(before);
  await writeCheckedFiles(folder, earlier);
  const foreign = { ...tinyClip, text: { ...tinyClip.text, heads: 4 } };
  await rm(files.textTower);
  await writeFile(files.textTower, encodeModel(textTower(foreign), "text.onnx.data"));
  await prepareModel({ folder, from });
  expect((await look(folder)).bytes).toEqual(before.bytes);
  expect(await preparedState(files, tinyClip, from.sha256)).toBe("complete");
});

test("weights that give no numbers are refused with why, each time, and nothing is packed of them", async () => {
  await using place = await temporaryFolder();
  for (const [tower, tensor] of [
    ["image", "visual_projection.weight"],
    ["text", "text_projection.weight"],
  ] as const) {
    const at = join(place.path, tower);
    await mkdir(at);
    const { folder, from } = await publish(at, brokenIn(tensor));
    for (const _ of ["written", "found"]) {
      expect(await prepareModel({ folder, from })).toEqual({
        unavailable: `The model cannot be used: the ${tower} tower gave a number that is not finite.`,
      });
      expect((await readdir(folder)).filter(isPackedName)).toEqual([]);
    }
  }
});

test("weights that give no numbers are refused where they cannot be packed, too", async () => {
  await using place = await temporaryFolder();
  // No file system takes a folder of that name.
  const host = { ...(await thisPackingHost()), onnxruntime: "9".repeat(300) };
  for (const [name, tensors] of [
    ["right", tinyTensors],
    ["broken", brokenIn("text_projection.weight")],
  ] as const) {
    const at = join(place.path, name);
    await mkdir(at);
    const { folder, from } = await publish(at, tensors);
    expect(await prepareModel({ folder, from }, undefined, host)).toEqual(
      name === "right"
        ? { ...modelFilesIn(folder), warning: expect.stringContaining("are not packed") }
        : {
            unavailable:
              "The model cannot be used: the text tower gave a number that is not finite.",
          },
    );
  }
});

test("weights that are short or others are refused in one sentence, and nothing is made of them", async () => {
  await using place = await temporaryFolder();
  const { folder, from } = await publish(place.path);
  const foreign = { ...from, sha256: "0".repeat(64) };
  expect(await prepareModel({ folder, from: foreign })).toEqual({
    unavailable: "model.safetensors is not the file that it should be: copy it again.",
  });
  await truncate(from.path, from.bytes - 1);
  expect(await prepareModel({ folder, from })).toEqual({
    unavailable: `model.safetensors has ${from.bytes - 1} bytes instead of ${from.bytes}: copy it again.`,
  });
  expect(await readdir(folder)).toEqual([]);
});

test("weights that become others beside a model that is ready are told of, and not served", async () => {
  await using place = await temporaryFolder();
  const { folder, from } = await publish(place.path);
  await prepareModel({ folder, from });
  const { bytes } = await look(folder);
  const replaced = await readFile(from.path);
  replaced[replaced.length - 1] = 1 ^ (replaced.at(-1) ?? 0);
  await writeFile(from.path, replaced);
  const files = await prepareModel({ folder, from });
  expect(files).toMatchObject({
    warning: expect.stringContaining("model.safetensors is no longer the file"),
  });
  expect((await look(folder)).bytes).toEqual(bytes);
});

test("weights that were only touched are hashed once, and no news", async () => {
  await using place = await temporaryFolder();
  const { folder, from } = await publish(place.path);
  await prepareModel({ folder, from });
  await utimes(from.path, 1, 1);
  const record = () => readFile(join(folder, "checked.json"), "utf8");
  const before = await record();
  expect(await prepareModel({ folder, from })).toMatchObject(modelFilesIn(folder));
  expect(await record()).not.toBe(before);
});

test("what a killed writer left is swept away by the next", async () => {
  await using place = await temporaryFolder();
  const folder = join(place.path, "seeded");
  await mkdir(folder);
  await writeFile(join(folder, "image.onnx.data.0123.tmp"), "half");
  await mkdir(join(folder, "packed-1.0.0-0123456789abcdef.tmp"));
  await writeFile(join(folder, "packed-1.0.0-0123456789abcdef.tmp", "image.onnx"), "half");
  await prepareModel({ folder, from: seed });
  expect((await readdir(folder)).sort()).toEqual([
    "checked.json",
    "image.onnx",
    "image.onnx.data",
    expect.stringMatching(/^packed-[\w.]+-[0-9a-f]{16}$/),
    "text.onnx",
    "text.onnx.data",
  ]);
});

test("a second writer waits for the first, and finds its work done", async () => {
  await using place = await temporaryFolder();
  const folder = join(place.path, "seeded");
  const made = join(place.path, "elsewhere");
  await prepareModel({ folder: made, from: seed });
  const held = await tryLockFile(`${folder}.lock`);
  const second = prepareModel({ folder, from: seed });
  // What the first writer does while it has the lock.
  await rm(folder, { recursive: true, force: true });
  await rename(made, folder);
  await held?.[Symbol.asyncDispose]();
  expect(await second).toMatchObject(modelFilesIn(folder));
  expect(await preparedState(modelFilesIn(folder), tinyClip, undefined)).toBe("complete");
});

test("two writers at once leave one complete model and nothing else", async () => {
  await using place = await temporaryFolder();
  const folder = join(place.path, "seeded");
  await Promise.all([1, 2, 3].map(() => prepareModel({ folder, from: seed })));
  expect(await preparedState(modelFilesIn(folder), tinyClip, undefined)).toBe("complete");
  expect((await readdir(folder)).filter((name) => name.endsWith(".tmp"))).toEqual([]);
});

test("a tower that grew is made anew", async () => {
  await using place = await temporaryFolder();
  const folder = join(place.path, "seeded");
  await prepareModel({ folder, from: seed });
  const before = await look(folder);
  const { imageTower, textTower } = modelFilesIn(folder);
  for (const path of [`${imageTower}.data`, textTower]) {
    await chmod(path, 0o600);
    await appendFile(path, "x");
  }
  expect(await preparedState(modelFilesIn(folder), tinyClip, undefined)).toBe("incomplete");
  await prepareModel({ folder, from: seed });
  expect((await look(folder)).bytes).toEqual(before.bytes);
});

test("one that nobody wants any more ends between two tensors, and leaves nothing half-written", async () => {
  await using place = await temporaryFolder();
  const folder = join(place.path, "prepared");
  const { architecture } = smallModel;
  const stop = new Int32Array(new SharedArrayBuffer(4));
  const preparing = prepareModel({ folder, from: { kind: "seed", architecture } }, stop);
  const ended = preparing.then(String, String);
  const written = () => readdir(folder).catch(() => []);
  while (!(await written()).some((name) => name.endsWith(".tmp")));
  Atomics.store(stop, 0, 1);
  expect(await ended).toBe("Error: it was stopped");
  expect((await written()).filter((name) => name.endsWith(".tmp"))).toEqual([]);
  expect(await prepareModel({ folder, from: { kind: "seed", architecture } })).toMatchObject(
    modelFilesIn(folder),
  );
});
