/** A model's towers packed for this host: made once, made anew where anything is another, and never loaded changed. */
import { expect, test } from "bun:test";
import {
  chmod,
  cp,
  mkdir,
  readdir,
  readFile,
  rename,
  rm,
  stat,
  truncate,
  writeFile,
} from "node:fs/promises";
import { basename, dirname, join } from "node:path";
import type { WrittenModel } from "../../src/backends/protocol.ts";
import { type PackingHost, packedState, thisPackingHost } from "../../src/models/packed.ts";
import { modelFilesIn } from "../../src/models/prepared.ts";
import { prepareModel } from "../../workers/prepare-model.ts";
import { createSession, createTextSession } from "../../workers/session.ts";
import { leftOut } from "../support/left-out.ts";
import { canForget, forgetFile, shareInMemory } from "../support/page-cache.ts";
import { mountSmallDisk } from "../support/small-disk.ts";
import { smallModel } from "../support/small-model.ts";
import { temporaryFolder, tinyClip, tinyTensors } from "../support/tiny-clip.ts";
import { tinySafetensors } from "../support/tiny-safetensors.ts";

const from = { kind: "seed", architecture: tinyClip } as const;
const { dimensions } = tinyClip;
const { side } = tinyClip.vision;
const pixels = Float32Array.from({ length: 3 * 3 * side * side }, (_, index) => Math.cos(index));
const ids = BigInt64Array.of(28n, 3n, 7n, 29n);

/** Prepares the tiny model in a folder. */
async function prepare(folder: string, host?: PackingHost) {
  const prepared = await prepareModel({ folder, from }, undefined, host);
  if ("unavailable" in prepared) throw new Error(prepared.unavailable);
  const { packed, warning } = prepared;
  return { packed: packed && dirname(packed.imageTower), warning };
}

async function preparePacked(folder: string, host?: PackingHost): Promise<string> {
  const { packed, warning } = await prepare(folder, host);
  if (packed === undefined) throw new Error(warning);
  return packed;
}

/** Every file of a folder, and its inode. */
async function look(folder: string) {
  const names = (await readdir(folder)).sort();
  const bytes = await Promise.all(names.map((name) => readFile(join(folder, name))));
  const inodes = await Promise.all(names.map(async (name) => (await stat(join(folder, name))).ino));
  const tensors = names.flatMap((name, index) => (name.endsWith(".data") ? [bytes[index]] : []));
  return { names, tensors, inodes };
}

async function packedNames(folder: string): Promise<readonly string[]> {
  return (await readdir(folder)).filter((name) => name.startsWith("packed-"));
}

/** Vectors of three pictures and a text. */
async function vectorsOf(written: Exclude<WrittenModel, { unavailable: string }>, threads = 1) {
  const { imageTower, textTower, packed } = written;
  const image = await createSession({
    ...{ imageTower, packedImageTower: packed?.imageTower },
    ...{ dimensions, side, threads },
  });
  const text = await createTextSession({
    ...{ textTower, packedTextTower: packed?.textTower },
    ...{ dimensions, threads },
  });
  try {
    return [await image.run(pixels, 3), await text.run(ids, 1, ids.length)];
  } finally {
    await Promise.all([image.release(), text.release()]);
  }
}

test("packed towers give the same bits, on one thread and on two, and are made once", async () => {
  await using place = await temporaryFolder();
  const packed = await preparePacked(place.path);
  const made = await look(packed);
  expect(made.names).toEqual([
    "checked.json",
    "image.onnx",
    "image.onnx.data",
    "text.onnx",
    "text.onnx.data",
  ]);
  const plain = modelFilesIn(place.path);
  const both = { ...plain, packed: modelFilesIn(packed) };
  const expected = await vectorsOf(plain);
  expect(await vectorsOf(both)).toEqual(expected);
  expect(await vectorsOf(both, 2)).toEqual(expected);
  expect(await preparePacked(place.path)).toBe(packed);
  expect(await look(packed)).toEqual(made);
});

test("another processor, onnxruntime or model has others, and those before are deleted", async () => {
  await using place = await temporaryFolder();
  const host = await thisPackingHost();
  const first = await preparePacked(place.path);
  const others = [
    { ...host, features: [...host.features, "another"] },
    { ...host, onnxruntime: "9.9.9" },
    { ...host, arch: "another" },
  ];
  const seen = new Set([first]);
  for (const other of others) {
    const folder = await preparePacked(place.path, other);
    expect(await packedNames(place.path)).toEqual([folder.slice(place.path.length + 1)]);
    seen.add(folder);
  }
  expect(seen.size).toBe(1 + others.length);
  const { architecture } = smallModel;
  const small = join(place.path, "small");
  const model = await prepareModel({ folder: small, from: { kind: "seed", architecture } });
  if (!("packed" in model) || model.packed === undefined) throw new Error("it is not packed");
  expect(basename(dirname(model.packed.imageTower))).not.toBe(basename(first));
  // The same graphs with other tensors.
  const weights = join(place.path, "model.safetensors");
  const bytes = tinySafetensors(tinyClip, tinyTensors);
  await writeFile(weights, bytes);
  const sha256 = new Bun.CryptoHasher("sha256").update(bytes).digest("hex");
  const other = await prepareModel({
    folder: join(place.path, "other"),
    from: { kind: "weights", path: weights, bytes: bytes.length, sha256, architecture: tinyClip },
  });
  if (!("packed" in other) || other.packed === undefined) throw new Error("it is not packed");
  expect(basename(dirname(other.packed.imageTower))).not.toBe(
    basename(await preparePacked(place.path)),
  );
});

test.each<[string, (folder: string) => Promise<unknown>]>([
  ["of which a byte changed", (folder) => damage(join(folder, "image.onnx.data"))],
  ["whose graph changed", (folder) => damage(join(folder, "text.onnx"))],
  ["that were cut short", (folder) => truncate(join(folder, "text.onnx.data"), 4096)],
  ["of which a file is missing", (folder) => rm(join(folder, "image.onnx.data"))],
  ["whose record is missing", (folder) => rm(join(folder, "checked.json"))],
  ["that a killed process left half-made", (folder) => rename(folder, `${folder}.tmp`)],
])("packed towers %s are made anew", async (_, change) => {
  await using place = await temporaryFolder();
  const packed = await preparePacked(place.path);
  const made = await look(packed);
  await change(packed);
  expect(await packedState(packed)).not.toBe("complete");
  expect(await preparePacked(place.path)).toBe(packed);
  expect((await look(packed)).tensors).toEqual(made.tensors);
  expect(await packedState(packed)).toBe("complete");
  expect(await packedNames(place.path)).toHaveLength(1);
});

test("a copy of the folder is hashed once, and not made anew", async () => {
  await using place = await temporaryFolder();
  await preparePacked(join(place.path, "one"));
  await cp(join(place.path, "one"), join(place.path, "two"), { recursive: true });
  const [name = ""] = await packedNames(join(place.path, "two"));
  const copy = join(place.path, "two", name);
  const { inodes: before } = await look(copy);
  expect(await packedState(copy)).toBe("changed");
  expect(await preparePacked(join(place.path, "two"))).toBe(copy);
  expect(await packedState(copy)).toBe("complete");
  // The record is a new file; the others are those that were copied.
  expect((await look(copy)).inodes.slice(1)).toEqual(before.slice(1));
});

test("packed towers that change or go under a service are not loaded: the others are", async () => {
  await using place = await temporaryFolder();
  const plain = modelFilesIn(place.path);
  const packed = await preparePacked(place.path);
  const both = { ...plain, packed: modelFilesIn(packed) };
  const expected = await vectorsOf(both);
  for (const name of ["image.onnx.data", "text.onnx.data"]) {
    const path = join(packed, name);
    await chmod(path, 0o600);
    await writeFile(path, new Uint8Array((await stat(path)).size));
  }
  expect(await vectorsOf(both)).toEqual(expected);
  await rm(packed, { recursive: true });
  expect(await vectorsOf(both)).toEqual(expected);
});

test("several at once make them once", async () => {
  await using place = await temporaryFolder();
  const made = await Promise.all([1, 2, 3].map(() => preparePacked(place.path)));
  expect(new Set(made).size).toBe(1);
  expect(await packedNames(place.path)).toHaveLength(1);
});

test("whoever no longer wants them ends it between two steps, and nothing half-made stays", async () => {
  await using place = await temporaryFolder();
  const stop = new Int32Array(new SharedArrayBuffer(4));
  const ended = prepareModel({ folder: place.path, from }, stop).then(String, String);
  while ((await packedNames(place.path)).length === 0);
  Atomics.store(stop, 0, 1);
  expect(await ended).toBe("Error: it was stopped");
  expect(await packedNames(place.path)).toEqual([]);
});

test("where the folder cannot be written or has no room, the others serve, with one warning", async () => {
  await using place = await temporaryFolder();
  const at = join(place.path, "disk");
  await mkdir(at);
  await using disk = await mountSmallDisk(at, 2_000_000);
  if (disk === undefined) return;
  const folder = join(disk.path, "model");
  await cp(await unpackedIn(join(place.path, "model")), folder, { recursive: true });
  await disk.fill(300_000);
  const cost =
    "The weights of image.onnx are not packed for this host, so that each worker holds a copy of 1 MB, and starts later: ";
  expect(await prepare(folder)).toEqual({
    packed: undefined,
    warning: `${cost}the disk of MODELS_DIR has 1 MB free, and 1 MB are needed: free space.`,
  });
  disk.remount("ro");
  expect(await prepare(folder)).toEqual({
    packed: undefined,
    warning: `${cost}MODELS_DIR is read-only: choose another folder, or allow writing to it.`,
  });
  disk.remount("rw");
});

test("a disk that fills while onnxruntime writes is a failure, not a short file", async () => {
  await using place = await temporaryFolder();
  const at = join(place.path, "disk");
  await mkdir(at);
  await unpackedIn(place.path);
  // onnxruntime follows no path through /proc, so it is run where the disk is mounted.
  const asRoot = process.getuid?.() === 0 ? [] : ["--user", "--map-root-user"];
  const mount = `mount -t tmpfs -o size=32k tmpfs "$1" && exec "$2" "$3" "$4" "$1/image.onnx"`;
  const program = join(import.meta.dir, "../support/pack-tower.ts");
  const argv = [at, process.execPath, program, modelFilesIn(place.path).imageTower];
  const run = Bun.spawnSync(["unshare", ...asRoot, "--mount", "sh", "-c", mount, "sh", ...argv]);
  const output = run.stdout.toString();
  if (output === "")
    return leftOut("a full disk: this user may not mount a file system of its own");
  expect([run.exitCode, output]).toEqual([0, expect.stringMatching(/^it failed: .+/)]);
});

async function damage(path: string): Promise<void> {
  const bytes = await readFile(path);
  bytes[bytes.length - 20] = 1 ^ (bytes.at(-20) ?? 0);
  await chmod(path, 0o600);
  await writeFile(path, bytes);
}

/** The tiny model, not packed. */
async function unpackedIn(folder: string): Promise<string> {
  await rm(await preparePacked(folder), { recursive: true });
  return folder;
}

test.if(canForget)("a start reads the packed image tower where it is not in memory", async () => {
  await using folder = await temporaryFolder();
  const tower = `${modelFilesIn(await preparePacked(folder.path)).imageTower}.data`;
  await forgetFile(tower);
  expect(await shareInMemory(tower)).toBe(0);
  await preparePacked(folder.path);
  expect(await shareInMemory(tower)).toBe(1);
});

test.if(canForget)(
  "a start in int8 leaves the image tower in fp32 alone, which nobody runs",
  async () => {
    await using folder = await temporaryFolder();
    const model = { folder: folder.path, from, int8: "int8" } as const;
    await prepareModel(model);
    const [packed = ""] = await packedNames(folder.path);
    const unused = `${modelFilesIn(join(folder.path, packed)).imageTower}.data`;
    await forgetFile(unused);
    expect(await prepareModel(model)).toHaveProperty("packed");
    expect(await shareInMemory(unused)).toBe(0);
  },
);
