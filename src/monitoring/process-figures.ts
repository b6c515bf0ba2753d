/** What the kernel and the runtime tell of this process; undefined what this host does not tell. */
import { readdirSync, readFileSync, statfsSync, statSync } from "node:fs";

/** User and system time of all threads, in seconds. */
export function cpuSeconds(): number {
  const { user, system } = process.cpuUsage();
  return (user + system) / 1e6;
}

/** Resident memory in bytes. */
export function residentBytes(): number {
  return process.memoryUsage.rss();
}

/** File descriptors that are open. */
export function openDescriptors(): number | undefined {
  return orUndefined(() => readdirSync("/proc/self/fd").length);
}

/** File descriptors that may be open. */
export function maxDescriptors(): number | undefined {
  return orUndefined(() => {
    const [, soft] =
      /^Max open files +(\d+)/m.exec(readFileSync("/proc/self/limits", "latin1")) ?? [];
    return soft === undefined ? undefined : Number(soft);
  });
}

/** Bytes that are free for this user on a folder's disk; undefined while there is no such folder. */
export function freeBytesAt(folder: string): number | undefined {
  return orUndefined(() => {
    const { bavail, bsize } = statfsSync(folder);
    return bavail * bsize;
  });
}

/** Bytes of files together; those that are not there count nothing. */
export function sizeOf(...paths: readonly string[]): number {
  const sizes = paths.map((path) => orUndefined(() => statSync(path).size) ?? 0);
  return sizes.reduce((sum, size) => sum + size, 0);
}

function orUndefined<T>(read: () => T): T | undefined {
  try {
    return read();
  } catch {
    return undefined;
  }
}
