/** What the kernel has of a file in memory, and how it forgets it. */
import { dlopen } from "bun:ffi";
import { open, statfs } from "node:fs/promises";
import { tmpdir } from "node:os";
import { cachedShare } from "../../src/native/page-cache.ts";

/** `POSIX_FADV_DONTNEED` of posix_fadvise(2). */
const dontNeed = 4;
const tmpfs = 0x01021994;

/** Whether what lies in temporary folders is on a disk: a tmpfs has nothing but memory. */
export const canForget = (await statfs(tmpdir())).type !== tmpfs;

/** Has the kernel forget a file, once it is on the disk. */
export async function forgetFile(path: string): Promise<void> {
  await using file = await open(path, "r");
  await file.sync();
  const { symbols, close } = dlopen("libc.so.6", {
    posix_fadvise: { args: ["i32", "i64", "i64", "i32"], returns: "i32" },
  });
  symbols.posix_fadvise(file.fd, 0, 0, dontNeed);
  close();
}

/** @returns 0 to 1. */
export async function shareInMemory(path: string): Promise<number> {
  await using file = await open(path, "r");
  return cachedShare(file.fd, (await file.stat()).size);
}
