/** Deletes what this program keeps of a model. */
import { lstat, readdir, rm, rmdir } from "node:fs/promises";
import { join } from "node:path";
import { codeOf } from "../errors.ts";
import { tryLockFile } from "../native/file-lock.ts";
import { recordName } from "./checked-files.ts";
import type { InstalledModel } from "./installed-model.ts";
import { isPackedName } from "./packed.ts";
import { isPinFolder, pinnedName, pinPath } from "./pinned-weights.ts";
import { isPreparedName, preparedFolderIn } from "./prepared.ts";

/** `busy`: another process downloads, imports or writes some of it, and nothing was deleted. */
export type Removal = "removed" | "nothing" | "busy";

/** Files that one lock guards. */
interface Guarded {
  readonly lock: string;
  readonly paths: readonly string[];
  /** Deleted as well, once nothing is left in it. */
  readonly folder?: string;
}

/**
 * Deletes all that this program keeps of a model: the published weights and pinned ones alike, the
 * published pair, and what was made of them. Other files in its folders stay, and so do the locks: another
 * process may be about to take one, and two who held different files under its name would be at it at once.
 *
 * @throws Error of the file system.
 */
export async function removeModel(model: InstalledModel): Promise<Removal> {
  const pin = await thereOf([pinPath(model.modelsDir, model.id)]);
  const groups: Guarded[] = [];
  for (const group of await guardedFiles(model)) {
    const paths = await thereOf(group.paths);
    if (paths.length > 0) groups.push({ ...group, paths });
  }
  if (groups.length + pin.length === 0) return "nothing";
  await using held = new AsyncDisposableStack();
  for (const { lock } of groups) {
    const taken = await tryLockFile(lock);
    if (taken === undefined) return "busy";
    held.use(taken);
  }
  for (const path of pin) await rm(path, { force: true });
  for (const { paths, folder } of groups) {
    for (const path of paths) await rm(path, { recursive: true, force: true });
    if (folder !== undefined) await removeIfEmpty(folder);
  }
  return "removed";
}

async function guardedFiles(model: InstalledModel): Promise<readonly Guarded[]> {
  const { id, modelsDir, published, onnxExport } = model;
  const groups: Guarded[] = [];
  if (published !== undefined) {
    const { target } = published;
    groups.push({ lock: `${target}.lock`, paths: withPartial(target) });
  }
  for (const name of (await namesIn(join(modelsDir, id))).filter(isPinFolder)) {
    const folder = join(modelsDir, id, name);
    groups.push({ lock: `${folder}.lock`, paths: withPartial(join(folder, pinnedName)), folder });
  }
  if (onnxExport !== undefined) {
    const { folder, files } = onnxExport;
    const towers = [files.imageTower, files.textTower].flatMap(withPartial);
    const made = (await namesIn(folder)).filter(
      (name) => isPackedName(name) || name === recordName,
    );
    const paths = [...towers, ...made.map((name) => join(folder, name))];
    groups.push({ lock: `${folder}.lock`, paths, folder });
  }
  const prepared = preparedFolderIn(modelsDir);
  for (const name of await namesIn(prepared)) {
    if (!isPreparedName(name, id)) continue;
    const folder = join(prepared, name);
    groups.push({ lock: `${folder}.lock`, paths: [folder] });
  }
  return groups;
}

function withPartial(path: string): readonly string[] {
  return [path, `${path}.partial`];
}

async function namesIn(folder: string): Promise<readonly string[]> {
  return await readdir(folder).catch(ifMissing([]));
}

async function thereOf(paths: readonly string[]): Promise<readonly string[]> {
  const there: string[] = [];
  for (const path of paths) {
    if ((await lstat(path).catch(ifMissing(undefined))) !== undefined) there.push(path);
  }
  return there;
}

/** Takes the place of what is not there. @throws every other error. */
function ifMissing<Instead>(instead: Instead): (error: unknown) => Instead {
  return (error) => {
    if (["ENOENT", "ENOTDIR"].includes(codeOf(error))) return instead;
    throw error;
  };
}

/** Somebody else's files in it stay. */
async function removeIfEmpty(folder: string): Promise<void> {
  await rmdir(folder).catch((error: unknown) => {
    if (!["ENOTEMPTY", "EEXIST", "ENOENT"].includes(codeOf(error))) throw error;
  });
}
