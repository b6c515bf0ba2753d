/** A download that is not whole yet: it outlives its process, and goes on where it ended. */
import { createHash } from "node:crypto";
import { createReadStream } from "node:fs";
import { type FileHandle, open, rename, stat } from "node:fs/promises";
import { dirname } from "node:path";
import { codeOf } from "../errors.ts";
import { syncFolder } from "../native/sync-folder.ts";

/** A file under way. */
export interface PartialFile {
  /** Bytes that are there. */
  size(): number;
  /** Appends, and hashes what it appends. @throws Error of the file system, such as `ENOSPC`. */
  append(bytes: Uint8Array): Promise<void>;
  /** Begins anew. */
  restart(): Promise<void>;
  /** SHA-256 of all that is there, in lower-case hex. */
  digest(): string;
  /**
   * Gives the file its name, for good: after it a power cut takes nothing back.
   *
   * @returns false, and does nothing, where the path no longer leads to this file: somebody deleted or replaced it.
   */
  place(target: string): Promise<boolean>;
  /** Closes the file, which stays for a later process unless it was placed. */
  close(): Promise<void>;
}

/**
 * Opens what an earlier process left, or nothing.
 *
 * @param path where the bytes are until they are whole; one process at a time may have it open.
 * @param maxBytes what is longer is begun anew.
 * @param signal ends the reading of what is there.
 * @throws Error of the file system; the signal's reason.
 */
export async function openPartialFile(
  path: string,
  maxBytes: number,
  signal?: AbortSignal,
): Promise<PartialFile> {
  // Not "a": the position must be ours.
  // Readable for others as far as the umask lets them: who downloads need not be who serves.
  const file = await open(path, "r+").catch((error: unknown) => {
    if (codeOf(error) !== "ENOENT") throw error;
    return open(path, "wx+");
  });
  let { size } = await file.stat();
  let hash = createHash("sha256");
  const restart = async () => {
    await file.truncate(0);
    size = 0;
    hash = createHash("sha256");
  };
  if (size > maxBytes) await restart();
  try {
    for await (const chunk of createReadStream(path, { highWaterMark: 1 << 20 })) {
      signal?.throwIfAborted();
      hash.update(chunk);
    }
  } catch (error) {
    await file.close();
    throw error;
  }
  return {
    size: () => size,
    append: async (bytes) => {
      await writeAll(file, bytes, size);
      hash.update(bytes);
      size += bytes.byteLength;
    },
    restart,
    digest: () => hash.copy().digest("hex"),
    place: async (target) => {
      await file.sync();
      if (!(await leadsTo(path, file))) return false;
      await rename(path, target);
      await syncFolder(dirname(target));
      return true;
    },
    close: () => file.close(),
  };
}

/** Whether a path is that of an open file, and not of another that was put in its place. */
async function leadsTo(path: string, file: FileHandle): Promise<boolean> {
  const own = await file.stat({ bigint: true });
  const there = await stat(path, { bigint: true }).catch(() => undefined);
  return there?.ino === own.ino && there.dev === own.dev;
}

async function writeAll(file: FileHandle, bytes: Uint8Array, at: number): Promise<void> {
  for (let done = 0; done < bytes.byteLength; ) {
    done += (await file.write(bytes, done, bytes.byteLength - done, at + done)).bytesWritten;
  }
}
