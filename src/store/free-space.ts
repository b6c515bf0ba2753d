/** Whether a disk has room for new files, without asking it for each of many. */
import { limits } from "../limits.ts";

export interface FreeSpace {
  /** Asks the disk. @throws Error of the file system. */
  hasRoom(): Promise<boolean>;
  /** The same, but a yes of a moment ago counts, less what was written since. @throws Error of the file system. */
  hadRoom(): Promise<boolean>;
  /** Takes note of bytes that were written. */
  wrote(bytes: number): void;
}

/**
 * @param minFreeBytes bytes that must stay free; for 0 the disk is never asked.
 * @param freeBytes asks the disk.
 */
export function createFreeSpace(minFreeBytes: number, freeBytes: () => Promise<number>): FreeSpace {
  /** Bytes beyond `minFreeBytes` when the disk was last asked, less what was written since. */
  let spareBytes = 0;
  let askedAt = Number.NEGATIVE_INFINITY;

  async function hasRoom(): Promise<boolean> {
    if (minFreeBytes === 0) return true;
    spareBytes = (await freeBytes()) - minFreeBytes;
    askedAt = performance.now();
    return spareBytes >= 0;
  }

  return {
    hasRoom,
    hadRoom: async () => {
      const isRecent = performance.now() - askedAt < limits.freeSpaceRecheckMs;
      return (isRecent && spareBytes > 0) || (await hasRoom());
    },
    wrote: (bytes) => {
      spareBytes -= bytes;
    },
  };
}
