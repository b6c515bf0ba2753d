/** A small text file that is changed as a whole: by one process at a time, and all or nothing. */

import { constants } from "node:fs";
import { type FileHandle, open, readFile, readlink, rename, rm, stat } from "node:fs/promises";
import { dirname, resolve } from "node:path";
import { setTimeout as wait } from "node:timers/promises";
import { codeOf } from "../errors.ts";
import { syncFolder } from "../native/sync-folder.ts";

export interface EditOptions {
  /** How long another process that changes the file is waited for. */
  readonly lockTimeoutMs: number;
  /** Ends the waiting. */
  readonly signal: AbortSignal;
}

const newFile = constants.O_CREAT | constants.O_EXCL | constants.O_WRONLY | constants.O_NOFOLLOW;
const lockPollMs = 20;
/** As many as Linux follows. */
const maxLinks = 40;

/**
 * Changes a file. The new text is written to `<path>.lock`, which only one process can make, and takes
 * the file's place once it is on disk, as git does it: nobody sees half a file, and no change is lost.
 * A new file is its user's alone; one that was there keeps its owner and its group's right to read. A
 * symbolic link stays, and what it leads to is changed.
 *
 * @param edit from the text that is there, undefined where no file is, to the new one. What it throws
 *   leaves the file as it is.
 * @throws Error of the file system, with its `code`; `EEXIST` when the other process does not end, or
 *   when one was killed and left the `.lock` behind.
 */
export async function editFile(
  path: string,
  edit: (text: string | undefined) => string,
  options: EditOptions,
): Promise<void> {
  const target = await followLinks(path);
  const lockPath = `${target}.lock`;
  const lock = await openLock(lockPath, options);
  try {
    const text = await readFile(target, "utf8").catch(instead("ENOENT"));
    await lock.writeFile(edit(text));
    if (text !== undefined) await takeOver(lock, target);
    await lock.sync();
    await rename(lockPath, target);
  } catch (error) {
    await rm(lockPath, { force: true });
    throw error;
  } finally {
    await lock.close();
  }
  await syncFolder(dirname(target));
}

async function openLock(path: string, { lockTimeoutMs, signal }: EditOptions): Promise<FileHandle> {
  const deadline = performance.now() + lockTimeoutMs;
  for (;;) {
    try {
      return await open(path, newFile, 0o600);
    } catch (error) {
      if (codeOf(error) !== "EEXIST" || performance.now() > deadline) throw error;
    }
    await wait(lockPollMs, undefined, { signal });
  }
}

/** Owner and mode of the file that is replaced; others never get a right to it. */
async function takeOver(file: FileHandle, replaced: string): Promise<void> {
  const [own, { uid, gid, mode }] = await Promise.all([file.stat(), stat(replaced)]);
  if (own.uid !== uid || own.gid !== gid) await file.chown(uid, gid);
  await file.chmod(0o600 | (mode & 0o040));
}

/** What a path leads to. Bun's `realpath` finds nothing while another process replaces the file. */
async function followLinks(path: string): Promise<string> {
  let target = path;
  for (let hops = 0; hops < maxLinks; hops += 1) {
    const link = await readlink(target).catch(instead("EINVAL", "ENOENT"));
    if (link === undefined) return target;
    target = resolve(dirname(target), link);
  }
  throw new Error("it is a symbolic link that leads round in circles");
}

/** Makes nothing of the failures with these codes; every other one stays. */
function instead(...codes: readonly string[]): (error: unknown) => undefined {
  return (error) => {
    if (!codes.includes(codeOf(error))) throw error;
  };
}
