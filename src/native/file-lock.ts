import { dlopen, FFIType } from "bun:ffi";
import { type FileHandle, open } from "node:fs/promises";

/** `LOCK_EX | LOCK_NB` of flock(2). */
const LOCK_EXCLUSIVE_NOW = 6;

/**
 * Locks a file against other processes, if none has it locked. The kernel frees the lock when its holder
 * ends, however it ends; the file itself stays, for another may be waiting for it.
 *
 * @param path of a file that is made where it is missing, readable by its owner only.
 * @returns undefined while another process holds it.
 * @throws Error of the file system.
 */
export async function tryLockFile(path: string): Promise<AsyncDisposable | undefined> {
  const file = await open(path, "a", 0o600);
  if (tryLock(file)) return { [Symbol.asyncDispose]: () => file.close() };
  await file.close();
  return undefined;
}

/**
 * Locks an open file against every other opening of it, this process's own too, until this one is closed.
 *
 * @returns false while another has it locked, or where the file system has no locks.
 */
export function tryLock({ fd }: FileHandle): boolean {
  const { symbols, close } = dlopen("libc.so.6", {
    flock: { args: [FFIType.i32, FFIType.i32], returns: FFIType.i32 },
  });
  try {
    return symbols.flock(fd, LOCK_EXCLUSIVE_NOW) === 0;
  } finally {
    close();
  }
}
