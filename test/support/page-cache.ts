/** What the kernel has of a file in memory, and how it forgets it. */
import { dlopen } from "bun:ffi";
import { open, readFile } from "node:fs/promises";
import { join } from "node:path";
import { cachedShare } from "../../src/native/page-cache.ts";
import { leftOut } from "./left-out.ts";
import { temporaryFolder } from "./tiny-clip.ts";

/** `POSIX_FADV_DONTNEED` of posix_fadvise(2). */
const dontNeed = 4;
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

/** Whether temporary files can leave the memory, which those of a tmpfs cannot, and the kernel tells of it. */
async function canBeForgotten(): Promise<boolean> {
  await using folder = await temporaryFolder();
  const path = join(folder.path, "probe");
  await Bun.write(path, "probe");
  const before = await shareInMemory(path);
  await forgetFile(path);
  const forgotten = await shareInMemory(path);
  await readFile(path);
  return [before, forgotten, await shareInMemory(path)].join() === "1,0,1";
}

/** For `test.if`. */
export const canForget = await canBeForgotten();
if (!canForget)
  leftOut("what leaves the page cache: temporary files do not, or the kernel does not tell");
