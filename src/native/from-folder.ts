/** Native libraries in the cache folder: for hosts that refuse memory files. */

import { createHash, randomUUID } from "node:crypto";
import {
  closeSync,
  constants,
  fstatSync,
  fsyncSync,
  openSync,
  readdirSync,
  readFileSync,
  readSync,
  renameSync,
  rmSync,
} from "node:fs";
import { join } from "node:path";
import { codeOf, messageOf } from "../errors.ts";
import type { EmbeddedFile, NativeFile } from "./embedded.ts";
import type { Libc } from "./libc.ts";
import { FolderFault, isOnlyOurs, preparePrivateFolder } from "./private-folder.ts";
import { writeWhole } from "./write-whole.ts";

/** Begins the name of a file that is not whole yet. */
const UNFINISHED = ".unfinished-";
const CHUNK_BYTES = 1024 * 1024;

/** What this way needs of its surroundings. */
export interface FolderPlace {
  readonly cacheDir: string;
  /** User that this process runs as. */
  readonly userId: number;
  readonly libc: Pick<Libc, "canRun" | "lock">;
}

/**
 * Puts native files into `<cacheDir>/native-<digest of all>`, each whole or not at all, and opens them.
 * A file that is there already is taken when it is a plain file of this user that nobody else can write,
 * and has the size and the digest that were built in; any other is replaced. What was checked is what is
 * loaded: the paths lead through the descriptors that were read, which stay open as long as the process.
 *
 * @returns the same names with paths that can be loaded, in any thread.
 * @throws Error with a clause that says why not and the mend.
 */
export function placeInFolder(files: readonly EmbeddedFile[], place: FolderPlace): NativeFile[] {
  const { cacheDir } = place;
  const open = new Map<string, number>();
  try {
    const folder = preparePrivateFolder(cacheDir, `native-${digestOf(files)}`, place.userId);
    if (!openAll(files, folder, place.userId, open)) install(files, folder, place, open);
    for (const descriptor of open.values()) {
      if (place.libc.canRun(descriptor)) continue;
      throw new FolderFault(
        `its file system (${cacheDir}) is mounted noexec; set CACHE_DIR to a folder on another`,
      );
    }
  } catch (error) {
    for (const descriptor of open.values()) closeSync(descriptor);
    throw error instanceof FolderFault ? error : explained(error, cacheDir, files);
  }
  return files.map(({ name }) => ({ name, path: `/proc/self/fd/${open.get(name)}` }));
}

/** @returns whether every file was there and good; those that were are in `open`. */
function openAll(
  files: readonly EmbeddedFile[],
  folder: string,
  userId: number,
  open: Map<string, number>,
): boolean {
  for (const file of files) {
    if (open.has(file.name)) continue;
    const descriptor = openGood(file, join(folder, file.name), userId);
    if (descriptor === undefined) return false;
    open.set(file.name, descriptor);
  }
  return true;
}

function openGood(file: EmbeddedFile, path: string, userId: number): number | undefined {
  let descriptor: number;
  try {
    descriptor = openSync(path, constants.O_RDONLY | constants.O_NOFOLLOW | constants.O_NONBLOCK);
  } catch {
    return undefined;
  }
  const stats = fstatSync(descriptor);
  const isGood =
    stats.isFile() &&
    isOnlyOurs(stats, userId) &&
    stats.size === file.bytes &&
    sha256Of(descriptor) === file.sha256;
  if (isGood) return descriptor;
  closeSync(descriptor);
  return undefined;
}

function sha256Of(descriptor: number): string {
  const hash = new Bun.CryptoHasher("sha256");
  const chunk = new Uint8Array(CHUNK_BYTES);
  for (let position = 0; ; ) {
    const count = readSync(descriptor, chunk, 0, chunk.length, position);
    if (count === 0) return hash.digest("hex");
    hash.update(chunk.subarray(0, count));
    position += count;
  }
}

/** Writes what is missing. Of processes that start at once one writes, and the others wait for it. */
function install(
  files: readonly EmbeddedFile[],
  folder: string,
  { userId, libc }: FolderPlace,
  open: Map<string, number>,
): void {
  const lock = openSync(folder, constants.O_RDONLY | constants.O_DIRECTORY | constants.O_NOFOLLOW);
  try {
    if (libc.lock(lock)) removeUnfinished(folder);
    for (const file of files) {
      if (openAll([file], folder, userId, open)) continue;
      writeFile(file, folder);
      if (openAll([file], folder, userId, open)) continue;
      throw new FolderFault(`${folder} does not keep what is written to it; set CACHE_DIR`);
    }
  } finally {
    closeSync(lock);
  }
}

/** With the lock held, whoever left these is dead. */
function removeUnfinished(folder: string): void {
  for (const name of readdirSync(folder)) {
    if (name.startsWith(UNFINISHED)) rmSync(join(folder, name), { force: true, recursive: true });
  }
}

function writeFile({ name, path }: EmbeddedFile, folder: string): void {
  const unfinished = join(folder, `${UNFINISHED}${randomUUID()}`);
  const descriptor = openSync(unfinished, "wx", 0o500);
  try {
    try {
      writeWhole(descriptor, readFileSync(path));
      fsyncSync(descriptor);
    } finally {
      closeSync(descriptor);
    }
    renameSync(unfinished, join(folder, name));
  } catch (error) {
    rmSync(unfinished, { force: true });
    throw error;
  }
}

/** Names the folder after everything in it: two versions of the program never share one. */
function digestOf(files: readonly EmbeddedFile[]): string {
  const hash = createHash("sha256");
  for (const { name, sha256 } of files) hash.update(`${name} ${sha256}\n`);
  return hash.digest("hex");
}

/** What an error of the file system means for the operator. */
function explained(error: unknown, cacheDir: string, files: readonly EmbeddedFile[]): Error {
  const code = codeOf(error);
  if (code === "ENOSPC" || code === "EDQUOT") {
    const megabytes = Math.ceil(files.reduce((sum, { bytes }) => sum + bytes, 0) / 1e6);
    return new Error(
      `${cacheDir} is full; free ${megabytes} MB there, or set CACHE_DIR to another folder`,
      { cause: error },
    );
  }
  return new Error(
    `${cacheDir} cannot be written to (${code || messageOf(error)}); make it a folder of the service's user, or set CACHE_DIR to one`,
    { cause: error },
  );
}
