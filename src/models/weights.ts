/** The weights of a model on this host: found, checked, taken from elsewhere. */
import { createReadStream } from "node:fs";
import { chmod, mkdir, rm, stat } from "node:fs/promises";
import { basename, dirname, join } from "node:path";
import { tryLockFile } from "../native/file-lock.ts";
import type { HubFile, WeightsSource } from "./catalog.ts";
import { digestFile, type FileFacts, type ReadTerms } from "./checked-files.ts";
import { spaceLack } from "./disk-space.ts";
import { pathIn } from "./hub-cache.ts";
import { openPartialFile, type PartialFile } from "./partial-file.ts";

/** Why files were not taken from a folder. */
export interface ImportFault {
  /** One sentence. */
  readonly sentence: string;
  /** Whether the folder has a file under a name of theirs. */
  readonly isThere: boolean;
}

/** Who waits for a copy. */
export interface CopyTerms {
  readonly signal: AbortSignal;
  /** Hears how many bytes of a file were read or copied so far. */
  readonly onProgress: (bytes: number, totalBytes: number) => void;
}

/** Where a model's published weights lie once they are this service's own. */
export function weightsPath(modelsDir: string, id: string, file: Pick<HubFile, "path">): string {
  return join(modelsDir, id, basename(file.path));
}

/** The first of some paths that has a file of the right length. */
export async function findWeights(
  paths: readonly (string | undefined)[],
  file: Pick<FileFacts, "bytes">,
): Promise<string | undefined> {
  for (const path of paths) {
    if (path !== undefined && (await sizeOf(path)) === file.bytes) return path;
  }
  return undefined;
}

/**
 * Compares a file with what it must be: its length, and then its SHA-256.
 *
 * @returns one sentence about what is wrong, or undefined.
 * @throws the signal's reason; Error of the file system.
 */
export async function weightsFault(
  path: string,
  { bytes, sha256 }: FileFacts,
  terms: ReadTerms = {},
): Promise<string | undefined> {
  const name = basename(path);
  const size = await sizeOf(path);
  if (size === undefined) return `there is no ${name}`;
  if (size !== bytes) return `${name} has ${size} bytes instead of ${bytes}`;
  const digest = await digestFile(path, terms);
  return digest === sha256 ? undefined : otherFile(name);
}

/** Places of a folder where a file may lie: loose, in its repository's own layout, under a name, or as in the hub's cache. */
export function placesIn(folder: string, id: string, file: HubFile): readonly string[] {
  const name = basename(file.path);
  const places = [name, file.path, join(id, name)].map((place) => join(folder, place));
  return [...places, pathIn(folder, file)];
}

/**
 * Takes the published weights from a folder.
 *
 * @param target where they are placed, whole and checked.
 * @returns undefined once they are there.
 * @throws the signal's reason; Error of the file system.
 */
export async function importWeights(
  folder: string,
  target: string,
  file: WeightsSource,
  terms: CopyTerms,
): Promise<ImportFault | undefined> {
  const paths = placesIn(folder, basename(dirname(target)), file);
  const found = await findWeights(paths, file);
  if (found === undefined) return await whatIsThere(paths, file);
  const { bytes, sha256 } = file;
  const to = { target, lock: `${target}.lock`, bytes, sha256 };
  const sentence = await placeCopy(found, to, terms);
  return sentence === undefined ? undefined : { sentence, isThere: true };
}

/** Where a file is copied to, and as what. */
export interface CopyTarget extends FileFacts {
  readonly target: string;
  /** Held meanwhile. */
  readonly lock: string;
}

/**
 * Copies a file to its place, once the copy is what it must be; else nothing of the copy stays.
 *
 * @returns one sentence about why not, or undefined.
 * @throws the signal's reason; Error of the file system.
 */
export async function placeCopy(
  found: string,
  { target, lock: lockPath, bytes, sha256 }: CopyTarget,
  terms: CopyTerms,
): Promise<string | undefined> {
  await mkdir(dirname(lockPath), { recursive: true });
  await using lock = await tryLockFile(lockPath);
  if (lock === undefined) return "another process is at it: wait until it is done";
  await mkdir(dirname(target), { recursive: true });
  const partial = `${target}.partial`;
  // What a download left is in the way.
  await rm(partial, { force: true });
  const lack = await spaceLack(dirname(target), bytes);
  if (lack !== undefined) return lack;
  try {
    const copy = await openPartialFile(partial, bytes);
    try {
      await copyInto(copy, found, bytes, terms);
      if (copy.digest() !== sha256) return `${otherFile(basename(found))}: its SHA-256 is another`;
      // Who imports need not be who serves.
      await chmod(partial, 0o644);
      return (await copy.place(target)) ? undefined : "somebody deleted the copy: import it again";
    } finally {
      await copy.close();
    }
  } finally {
    // Whatever went wrong, half a copy is of no use, and on a full disk in the way.
    await rm(partial, { force: true });
  }
}

/** The bytes are hashed on their way, so what is placed is what was checked. */
async function copyInto(
  copy: PartialFile,
  found: string,
  totalBytes: number,
  { signal, onProgress }: CopyTerms,
): Promise<void> {
  for await (const chunk of createReadStream(found, { highWaterMark: 1 << 20 })) {
    signal.throwIfAborted();
    await copy.append(chunk);
    onProgress(copy.size(), totalBytes);
  }
  signal.throwIfAborted();
}

async function whatIsThere(paths: readonly string[], file: WeightsSource): Promise<ImportFault> {
  const name = basename(file.path);
  for (const path of paths) {
    const size = await sizeOf(path);
    if (size === undefined) continue;
    return { sentence: `${name} has ${size} bytes instead of ${file.bytes}`, isThere: true };
  }
  const below = [dirname(file.path), `models--${file.repository.replaceAll("/", "--")}`];
  const folders = below.filter((place) => place !== ".").map((place) => `${place}/`);
  const sentence = `there is no ${name} in that folder, nor in ${folders.join(" or ")} below it`;
  return { sentence, isThere: false };
}

/** Whether any of some paths is a file. */
export async function isAnyThere(paths: readonly string[]): Promise<boolean> {
  const sizes = await Promise.all(paths.map(sizeOf));
  return sizes.some((size) => size !== undefined);
}

/** Length of a file in bytes; undefined where there is none. */
export async function sizeOf(path: string): Promise<number | undefined> {
  const found = await stat(path).catch(() => undefined);
  return found?.isFile() ? found.size : undefined;
}

function otherFile(name: string): string {
  return `${name} is not the file that it should be`;
}
