/** Files that are mapped: how they come into the kernel's memory. */
import { open } from "node:fs/promises";
import { openLibc } from "./libc.ts";

/** What is read at a time, in bytes. */
const pieceBytes = 4 * 1024 * 1024;
/** Share of a file that is in memory, from which it is not read. */
const enoughShare = 0.9;

/**
 * Reads a file that is about to be mapped, unless it is in the page cache already. Read from its beginning to its end,
 * it comes in pieces of up to 2 MiB where the file system has large folios (ext4 since Linux 6.16, XFS since 5.18); by the
 * faults of a mapping, in pages of 4 KiB, each of which every session maps and unmaps by itself from then on, until
 * the file leaves the memory. With fp32 weights on ext4 that is a tenth of a second of each start, and two of the first
 * after the host's.
 *
 * @param goOn called before each piece; what it throws ends the reading, and is thrown.
 * @throws Error of the file system.
 * @see Linux `mm/filemap.c` (`do_sync_mmap_readahead`, `page_cache_sync_ra`).
 */
export async function bringIntoPageCache(path: string, goOn: () => void = () => {}): Promise<void> {
  const file = await open(path, "r");
  try {
    const { size } = await file.stat();
    if (cachedShare(file.fd, size) >= enoughShare) return;
    const piece = new Uint8Array(Math.min(pieceBytes, size));
    let bytesRead: number;
    do {
      goOn();
      ({ bytesRead } = await file.read(piece, 0, piece.length));
    } while (bytesRead > 0);
  } finally {
    await file.close();
  }
}

/** Share of a file that is in memory, 0 to 1, by a page of each piece; 1 where this cannot be told. */
export function cachedShare(descriptor: number, bytes: number): number {
  using libc = openLibc();
  return libc.shareInMemory(descriptor, bytes, pieceBytes) ?? 1;
}
