/** What the kernel has of a file in memory, and how it forgets it. */
import { dlopen } from "bun:ffi";
import { open, statfs } from "node:fs/promises";
import { tmpdir } from "node:os";
import { cachedShare } from "../../src/native/page-cache.ts";

/** `POSIX_FADV_DONTNEED` of posix_fadvise(2). */
const dontNeed = 4;
/** `f_type` of statfs(2) of ext2 to ext4, XFS, Btrfs and overlayfs. */
const onDisks = [0xef53, 0x58465342, 0x9123683e, 0x794c7630];

/** Whether what lies in temporary folders can leave the memory: a tmpfs has nothing else. */
export const canForget = onDisks.includes((await statfs(tmpdir())).type);

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
