/** Sees to it that a model's towers are there: unchanged since they were made or checked, or made anew. */
import { mkdir, readdir, rm } from "node:fs/promises";
import { basename, dirname, join } from "node:path";
import type { ModelToWrite, TowerSource, WrittenModel } from "../src/backends/protocol.ts";
import { codeOf } from "../src/errors.ts";
import {
  type CheckedFile,
  type CheckedFiles,
  checkFile,
  looksUnchanged,
  readCheckedFiles,
  writeCheckedFiles,
} from "../src/models/checked-files.ts";
import { spaceLack } from "../src/models/disk-space.ts";
import type { ClipArchitecture } from "../src/models/onnx/architecture.ts";
import type { TensorSource } from "../src/models/onnx/tensor-source.ts";
import type { PackingHost } from "../src/models/packed.ts";
import { int8FilesOf, modelFilesIn, type TowerFiles } from "../src/models/prepared.ts";
import {
  bytesToWrite,
  graphDigests,
  isFrom,
  type PreparedState,
  preparedPathsOf,
  preparedState,
  weightsEntry,
} from "../src/models/prepared-check.ts";
import { accessFile, parseSafetensors } from "../src/models/safetensors.ts";
import { seededTensors } from "../src/models/seeded-tensors.ts";
import { bringIntoPageCache } from "../src/native/page-cache.ts";
import { type GoOn, lockModel } from "./model-lock.ts";
import { obtainPacked, type PackedFiles } from "./packed-towers.ts";
import { checkExport } from "./published-export.ts";
import { runTowers } from "./run-towers.ts";
import { writeModel } from "./write-model.ts";

/** A source whose tensors become towers of our own. */
type TensorOrigin = Exclude<TowerSource, { kind: "onnx" }>;

/**
 * Makes a model ready to run: its towers, and the same packed for this host. What is unchanged since it was made
 * is not checked again; what looks changed is hashed, and made anew where it is not what was made. The packed image
 * tower is brought into memory.
 *
 * @param stop one number: anything but 0 ends the work, between two tensors or two pieces of a file.
 * @param host what is packed for; this one unless told.
 * @returns the towers, or one sentence about why there are none.
 * @throws Error of the file system, of weights that are no such model, or once it was stopped; nothing
 *   half-written stays.
 */
export async function prepareModel(
  { folder, from, int8 }: ModelToWrite,
  stop?: Int32Array<SharedArrayBuffer>,
  host?: PackingHost,
): Promise<WrittenModel> {
  const goOn = () => {
    if (stop !== undefined && Atomics.load(stop, 0) !== 0) throw new Error("it was stopped");
  };
  const made = await obtainAll(folder, from, modelFilesIn(folder), goOn, host);
  if ("unavailable" in made) return made;
  const { textTower } = made;
  if (textTower === undefined) throw new Error("a model without its text tower");
  const files = int8 && int8FilesOf(folder, int8);
  const image = files ? await obtainAll(dirname(files.imageTower), from, files, goOn, host) : made;
  if ("unavailable" in image) return image;
  const all = joined(image, made, textTower);
  if (all.packed !== undefined) await bringNear(all.packed.imageTower, goOn);
  return all;
}

/** Whatever keeps the weights from being read now, a session maps them all the same. */
async function bringNear(packedTower: string, goOn: GoOn): Promise<void> {
  await bringIntoPageCache(`${packedTower}.data`, goOn).catch((error: unknown) => {
    if (codeOf(error) === "") throw error;
  });
}

/** Towers that were made ready, and the same packed. */
type Obtained = PackedFiles & { readonly packed?: PackedFiles; readonly warning?: string };
type Lack = Extract<WrittenModel, { unavailable: string }>;

/** One's image tower and the other's text tower. */
function joined(image: Obtained, text: Obtained, textTower: string): Exclude<WrittenModel, Lack> {
  const { imageTower } = image;
  const packedText = text.packed?.textTower;
  const warning = [...new Set([text.warning, image.warning])].filter(Boolean).join(" ");
  return {
    imageTower,
    textTower,
    ...(image.packed !== undefined && packedText !== undefined
      ? { packed: { imageTower: image.packed.imageTower, textTower: packedText } }
      : {}),
    ...(warning === "" ? {} : { warning }),
  };
}

/** Makes what one folder holds ready, and packs it. */
async function obtainAll(
  folder: string,
  from: TowerSource,
  files: TowerFiles,
  goOn: GoOn,
  host: PackingHost | undefined,
): Promise<Obtained | Lack> {
  const made = await obtainTowers(folder, from, files, goOn);
  if ("unavailable" in made) return made;
  const { architecture } = from;
  const { warning, ...towers } = made;
  const outcome = await obtainPacked({ towers, architecture, folder }, goOn, host);
  if ("packed" in outcome) return { ...made, ...outcome };
  if ("unavailable" in outcome) return outcome;
  // What is packed has run, and so has a published pair.
  const fault = from.kind === "onnx" ? undefined : await faultOf(towers, architecture);
  if (fault !== undefined) return { unavailable: fault };
  return { ...made, warning: [warning, outcome.warning].filter(Boolean).join(" ") };
}

/** Towers of one folder; or one sentence about why there are none. */
type ReadyTowers = (TowerFiles & { readonly warning?: string }) | Lack;

/** Of towers that could not be packed: what onnxruntime itself cannot open, a worker tells that warms up. */
async function faultOf(towers: TowerFiles, architecture: ClipArchitecture) {
  const run = await runTowers(towers, architecture).catch(() => undefined);
  return run !== undefined && "fault" in run ? run.fault : undefined;
}

async function obtainTowers(
  folder: string,
  from: TowerSource,
  files: TowerFiles,
  goOn: GoOn,
): Promise<ReadyTowers> {
  if (from.kind === "onnx") {
    if ("arithmetic" in files) throw new Error("int8 from a published pair");
    return await checkExport(folder, from);
  }
  try {
    return await prepareTowers(folder, files, from, goOn);
  } catch (error) {
    if (!["ENOSPC", "EDQUOT"].includes(codeOf(error))) throw error;
    return noSpace("the disk of MODELS_DIR is full: free space");
  }
}

async function prepareTowers(
  folder: string,
  files: TowerFiles,
  from: TensorOrigin,
  goOn: GoOn,
): Promise<ReadyTowers> {
  if (await isReady(folder, files, from, goOn)) {
    return await withWarning(folder, files, from, goOn);
  }
  if (from.kind === "weights" && from.path === undefined) return { unavailable: whyNone(files) };
  await mkdir(folder, { recursive: true });
  await using _lock = await lockModel(folder, goOn);
  // Whoever had the lock may have done it all.
  if ((await stateOf(files, from)) === "complete") return files;
  await sweep(folder);
  const lack = await spaceLack(folder, await bytesToWrite(files, from.architecture));
  if (lack !== undefined) return noSpace(lack);
  const made = await write(files, from, goOn);
  if ("unavailable" in made) return made;
  const towers = await checkAll(preparedPathsOf(files), goOn);
  await writeCheckedFiles(folder, { ...made.weights, ...towers });
  return files;
}

function noSpace(why: string): Lack {
  return { unavailable: `The model could not be written: ${why}.`, mayPass: true };
}

function stateOf(files: TowerFiles, from: TensorOrigin): Promise<PreparedState> {
  return preparedState(files, from.architecture, digestOf(from));
}

function digestOf(from: TensorOrigin): string | undefined {
  return from.kind === "weights" ? from.sha256 : undefined;
}

/** Whether the towers are those that were made: they look so, or their bytes say so. */
async function isReady(
  folder: string,
  files: TowerFiles,
  from: TensorOrigin,
  goOn: GoOn,
): Promise<boolean> {
  const state = await stateOf(files, from);
  if (state !== "changed") return state === "complete";
  const record = await readCheckedFiles(folder);
  if (!isFrom(record, digestOf(from))) return false;
  const graphs = graphDigests(files, from.architecture);
  const now = await checkAll(preparedPathsOf(files), goOn);
  const isRight = Object.entries(now).every(
    ([name, { sha256 }]) => sha256 === (graphs[name] ?? record[name]?.sha256),
  );
  if (!isRight) return false;
  // A copy of the folder, for example: the bytes are the same, and the files are others. Or a record of an
  // earlier version, which named no graph.
  await writeCheckedFiles(folder, { ...record, ...now });
  return true;
}

async function checkAll(paths: readonly string[], goOn: GoOn): Promise<CheckedFiles> {
  const checked: Record<string, CheckedFile> = {};
  for (const path of paths) checked[basename(path)] = await checkFile(path, { onRead: goOn });
  return checked;
}

/** Says when the weights beside a model that is ready have become others: they are not what is served. */
async function withWarning(
  folder: string,
  files: TowerFiles,
  from: TensorOrigin,
  goOn: GoOn,
): Promise<ReadyTowers> {
  if (from.kind !== "weights" || from.path === undefined) return files;
  const record = await readCheckedFiles(folder);
  if (await looksUnchanged(from.path, record[weightsEntry])) return files;
  const now = await checkFile(from.path, { onRead: goOn });
  if (now.sha256 !== from.sha256) {
    return {
      ...files,
      warning: `${basename(from.path)} is no longer the file that the model was made from: it is not used. To serve weights of your own, take them with "imagesvc models import DIR --sha256 HEX".`,
    };
  }
  await writeCheckedFiles(folder, { ...record, [weightsEntry]: now });
  return files;
}

function whyNone(files: TowerFiles): string {
  const tower = basename(files.imageTower);
  const which = "arithmetic" in files ? `${tower} in int8` : tower;
  return `The weights are not on this host, nor an unchanged ${which} that was made from them.`;
}

/** Writes the towers, once the weights are known to be the right ones. */
async function write(
  files: TowerFiles,
  from: TensorOrigin,
  goOn: GoOn,
): Promise<{ readonly weights: CheckedFiles } | { readonly unavailable: string }> {
  const writeTowers = (architecture: ClipArchitecture, tensors: TensorSource) =>
    writeModel(files, architecture, whileWanted(tensors, goOn));
  if (from.kind === "seed") {
    await writeTowers(from.architecture, seededTensors("imagesvc"));
    return { weights: {} };
  }
  const { path, bytes, sha256, architecture } = from;
  if (path === undefined) return { unavailable: whyNone(files) };
  const name = basename(path);
  const checked = await checkFile(path, { onRead: goOn });
  if (checked.bytes !== bytes) {
    return {
      unavailable: `${name} has ${checked.bytes} bytes instead of ${bytes}: copy it again.`,
    };
  }
  if (checked.sha256 !== sha256) {
    return { unavailable: `${name} is not the file that it should be: copy it again.` };
  }
  using file = accessFile(path);
  await writeTowers(architecture, parseSafetensors(file));
  if (await looksUnchanged(path, checked)) return { weights: { [weightsEntry]: checked } };
  return { unavailable: `${name} changed while it was read: copy it again.` };
}

/** Tensors that are read for as long as somebody wants the model. */
function whileWanted(tensors: TensorSource, goOn: GoOn): TensorSource {
  return {
    read: (name, shape) => {
      goOn();
      return tensors.read(name, shape);
    },
  };
}

/** Takes away what a writer left that was killed. */
async function sweep(folder: string): Promise<void> {
  for (const name of await readdir(folder)) {
    // Files of a tower, and the folder in which one was packed.
    if (name.endsWith(".tmp")) await rm(join(folder, name), { recursive: true, force: true });
  }
}
