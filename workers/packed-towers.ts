/** A model's towers, packed for this host: made once, proved, and kept as long as nothing they depend on changes. */
import { chmod, mkdir, open, readdir, rename, rm, stat } from "node:fs/promises";
import { basename, dirname, join } from "node:path";
import { messageOf, Problem } from "../src/errors.ts";
import {
  type CheckedFile,
  checkFile,
  readCheckedFiles,
  writeCheckedFiles,
} from "../src/models/checked-files.ts";
import { spaceLack } from "../src/models/disk-space.ts";
import { modelsFolderFault } from "../src/models/folder-fault.ts";
import type { ClipArchitecture } from "../src/models/onnx/architecture.ts";
import {
  isPackedName,
  type PackingHost,
  packedFolder,
  packedState,
  thisPackingHost,
} from "../src/models/packed.ts";
import { type ModelFiles, modelFilesIn, type TowerFiles } from "../src/models/prepared.ts";
import { trimHeap } from "../src/native/heap.ts";
import { syncFolder } from "../src/native/sync-folder.ts";
import { type GoOn, lockModel } from "./model-lock.ts";
import { packImageTower, packTextTower } from "./pack-tower.ts";

/** What is to be packed. */
export interface Unpacked {
  /** Towers whose bytes are what they should be. */
  readonly towers: TowerFiles;
  readonly architecture: ClipArchitecture;
  /** Beside which the model's lock lies. */
  readonly folder: string;
}

/** What was packed of one folder: of an int8 image tower's, no text tower. */
export type PackedFiles = Pick<ModelFiles, "imageTower"> & Partial<ModelFiles>;

/** Packed towers; or one sentence about why there are none, and what that costs; or about why the model is broken. */
export type PackedOutcome =
  | { readonly packed: PackedFiles }
  | { readonly warning: string }
  | { readonly unavailable: string };

/**
 * Finds the packed towers of a host, or makes them. Others, of another processor, onnxruntime or model, are
 * deleted then: whoever has them open goes on with them.
 *
 * @throws whatever `goOn` throws; nothing half-made stays.
 */
export async function obtainPacked(
  unpacked: Unpacked,
  goOn: GoOn,
  host?: PackingHost,
): Promise<PackedOutcome> {
  try {
    const folder = await packedFolder(unpacked.towers, host ?? (await thisPackingHost()));
    const packed = packedFilesOf(unpacked.towers, folder);
    if (await isReady(folder, goOn)) return { packed };
    await using _lock = await lockModel(unpacked.folder, goOn);
    // Whoever had the lock may have done it.
    const isMade = (await packedState(folder)) === "complete";
    return isMade ? { packed } : await make(folder, unpacked, goOn);
  } catch (error) {
    goOn();
    // Each tower is run before it is packed, and one that gives no vectors will not do so for a worker.
    if (error instanceof Problem) return { unavailable: error.message };
    return withoutPacked(unpacked, modelsFolderFault(error) ?? `${messageOf(error)}.`);
  }
}

function packedFilesOf(towers: TowerFiles, folder: string): PackedFiles {
  const { imageTower, textTower } = modelFilesIn(folder);
  return "textTower" in towers ? { imageTower, textTower } : { imageTower };
}

/** Whether they are those that were made: they look so, or their bytes say so. */
async function isReady(folder: string, goOn: GoOn): Promise<boolean> {
  const state = await packedState(folder);
  if (state !== "changed") return state === "complete";
  const record = await readCheckedFiles(folder);
  const now: Record<string, CheckedFile> = {};
  for (const [name, { sha256 }] of Object.entries(record)) {
    // One that is missing is as good as changed.
    const checked = await checkFile(join(folder, name), { onRead: goOn }).catch(() => undefined);
    goOn();
    if (checked?.sha256 !== sha256) return false;
    now[name] = checked;
  }
  await writeCheckedFiles(folder, now);
  return true;
}

/** Makes them in a folder of another name, which gets its own once they are whole, proved and on the disk. */
async function make(folder: string, unpacked: Unpacked, goOn: GoOn): Promise<PackedOutcome> {
  const parent = dirname(folder);
  await removePacked(parent);
  const lack = await spaceLack(parent, await bytesToPack(unpacked.towers));
  if (lack !== undefined) return await withoutPacked(unpacked, `${lack}.`);
  const temporary = `${folder}.tmp`;
  await mkdir(temporary);
  const { towers, architecture } = unpacked;
  try {
    const to = modelFilesIn(temporary);
    await packImageTower(towers.imageTower, to.imageTower, architecture, goOn);
    if ("textTower" in towers) {
      await packTextTower(towers.textTower, to.textTower, architecture, goOn);
    }
    await settle(temporary, goOn);
    await rename(temporary, folder);
    await syncFolder(parent);
    return { packed: packedFilesOf(towers, folder) };
  } catch (error) {
    await rm(temporary, { recursive: true, force: true });
    throw error;
  } finally {
    trimHeap();
  }
}

/** Brings a folder's files to the disk, read-only, and records what they look like. */
async function settle(folder: string, goOn: GoOn): Promise<void> {
  const checked: Record<string, CheckedFile> = {};
  for (const name of await readdir(folder)) {
    const path = join(folder, name);
    const file = await open(path, "r");
    await file.sync().finally(() => file.close());
    // Sessions map it: who cut it short or wrote into it would end or falsify every service that runs it.
    await chmod(path, 0o444);
    checked[name] = await checkFile(path, { onRead: goOn });
  }
  await writeCheckedFiles(folder, checked);
  if ((await packedState(folder)) !== "complete") throw new Error("a file was not written whole");
  await syncFolder(folder);
}

/** Deletes what was packed of a folder's towers, for whichever host, and what a killed process left of it. */
async function removePacked(folder: string): Promise<void> {
  for (const name of (await readdir(folder)).filter(isPackedName)) {
    await rm(join(folder, name), { recursive: true });
  }
}

/** At most: every weight as it is, and once more as it is packed. */
async function bytesToPack(towers: TowerFiles): Promise<number> {
  const ofText = "textTower" in towers ? await bytesOf(towers.textTower) : 0;
  return 2 * ((await bytesOf(towers.imageTower)) + ofText);
}

async function withoutPacked(
  { towers: { imageTower } }: Unpacked,
  why: string,
): Promise<PackedOutcome> {
  const megabytes = Math.ceil((await bytesOf(imageTower)) / 1e6);
  return {
    warning: `The weights of ${basename(imageTower)} are not packed for this host, so that each worker holds a copy of ${megabytes} MB, and starts later: ${why}`,
  };
}

/** Of a tower's graph and its tensors, in one file or two. */
async function bytesOf(tower: string): Promise<number> {
  const sizes = [tower, `${tower}.data`].map(async (path) => {
    const file = await stat(path).catch(() => undefined);
    return file?.size ?? 0;
  });
  return (await Promise.all(sizes)).reduce((sum, size) => sum + size, 0);
}
