/** The names of files under way in the downloads folder, and which of them nobody works at any more. */
import { constants, type FileHandle, open } from "node:fs/promises";
import { join } from "node:path";
import { codeOf } from "../errors.ts";
import { limits } from "../limits.ts";
import { tryLock } from "../native/file-lock.ts";

const prefix = ".incoming-";
const ofProcess = new RegExp(`^${RegExp.escape(prefix)}(\\d+)-`);

/** A name in the folder that is nobody's, for a file that is not, or no longer, kept. */
export function incomingPath(directory: string): string {
  return join(directory, `${prefix}${process.pid}-${crypto.randomUUID()}`);
}

/**
 * Whether a name is that of a file under way whose process is gone: it would have it locked, in whichever
 * container it runs. The number in the name would not tell, for it may be another process's by now.
 */
export async function isAbandoned(directory: string, name: string): Promise<boolean> {
  const pid = ofProcess.exec(name)?.[1];
  if (pid === undefined) return false;
  try {
    const file = await open(join(directory, name), constants.O_RDWR | constants.O_NOFOLLOW);
    try {
      return tryLock(file) && !(await mayBeLockedSoon(file, Number(pid)));
    } finally {
      await file.close();
    }
  } catch {
    // Another user's, or gone meanwhile.
    return false;
  }
}

/** A file is there for a moment before it is locked. */
async function mayBeLockedSoon(file: FileHandle, pid: number): Promise<boolean> {
  if (pid === process.pid || !isAlive(pid)) return false;
  return Date.now() - (await file.stat()).mtimeMs < limits.lockGraceMs;
}

function isAlive(pid: number): boolean {
  try {
    process.kill(pid, 0);
    return true;
  } catch (error) {
    const isOfAnotherUser = codeOf(error) === "EPERM";
    return isOfAnotherUser;
  }
}
