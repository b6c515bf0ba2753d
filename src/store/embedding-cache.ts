/**
 * The embedding cache: vectors of images that were here before. It is read on the main thread, some 10 µs a
 * vector, and written in a thread of its own, since a disk may take 100 ms to take a checkpoint. Nothing of it
 * ever fails a request: what cannot be read is a miss, and what cannot be written is not kept.
 */
import { type Database, SQLiteError } from "bun:sqlite";
import { inTime } from "../backends/deadline.ts";
import { startThread } from "../backends/pool.ts";
import type { NewEmbedding } from "../backends/protocol.ts";
import { codeOf } from "../errors.ts";
import { limits } from "../limits.ts";
import { fileIdOf, isBroken, openToRead } from "./embedding-database.ts";
import { createRememberingFind } from "./embedding-memory.ts";
import type { FindEmbedding } from "./embedding-rows.ts";
import { createEmbeddingWriter, type WriterOptions } from "./embedding-writer.ts";

/** How often it is looked whether another file has taken the place of the one that is read. */
const followEveryMs = 1000;

export interface EmbeddingCacheOptions extends WriterOptions {
  /** The module whose `handle` writes. */
  readonly filename: string;
}

/** A vector that was kept, and what its image is. */
export type CachedEmbedding = Omit<NewEmbedding, "fingerprint">;

export interface EmbeddingCache {
  /** Opens the file, which is made where it is missing; resolves also where that fails. */
  open(): Promise<void>;
  /**
   * The vector of an image, if it is here and was made under the same fingerprint; not to be written to. As long as
   * it is remembered and its numbers are the same, it is the same object.
   */
  find(sha256: string, fingerprint: string): CachedEmbedding | undefined;
  /** Keeps a vector: it is found at once, and written soon after. */
  keep(embedding: NewEmbedding): void;
  /** Writes what was kept, and closes the file; to be called when nobody keeps anything any more. */
  close(): Promise<void>;
}

/** Makes the cache; nothing is opened before `open`. */
export function createEmbeddingCache(options: EmbeddingCacheOptions): EmbeddingCache {
  const reader = createReader(options);
  const thread = startThread(options.filename, limits.cacheThreadIdleMs);
  const { takeBroken, follow } = reader;
  const writer = createEmbeddingWriter(options, { thread, takeBroken, onWritten: follow });
  let isOpen = false;
  return {
    open: async () => {
      isOpen = true;
      await writer.flush();
      // What cannot be written may be read all the same.
      follow();
    },
    find: (sha256, fingerprint) => {
      const waiting = writer.find(sha256, fingerprint);
      if (waiting !== undefined) return waiting;
      if (isOpen) reader.followSometimes();
      const found = reader.find(sha256, fingerprint);
      // Once an hour is enough to tell what is used.
      if (found && found.usedHour < Math.floor(Date.now() / 3_600_000)) writer.noteUse(found.row);
      return found;
    },
    keep: writer.put,
    close: async () => {
      const written = isOpen ? writer.flush() : Promise.resolve();
      await inTime(written, limits.cacheCloseTimeoutMs, "slow").catch(() => {});
      reader.close();
      await inTime(thread.close(), limits.cacheCloseTimeoutMs, "slow").catch(() => {});
    },
  };
}

/** A file that is read. */
interface OpenFile {
  readonly id: string;
  readonly database: Database;
  readonly find: FindEmbedding;
}

/** Whether it comes from the file, or from the file system. */
function isRefusal(error: unknown): boolean {
  return error instanceof SQLiteError || isBroken(error) || codeOf(error) !== "";
}

/** What tells the file from another; undefined where there is none. */
function idAt(path: string): string | undefined {
  try {
    return fileIdOf(path);
  } catch (error) {
    if (codeOf(error) === "ENOENT") return undefined;
    throw error;
  }
}

/** Reads the file that the thread writes, and any other that takes its place. */
function createReader({ path, now }: Pick<EmbeddingCacheOptions, "path" | "now">) {
  let file: OpenFile | undefined;
  let followedAt = Number.NEGATIVE_INFINITY;
  let brokenFileId: string | undefined;

  function close(): void {
    file?.database.close();
    file = undefined;
  }

  /** Whatever is wrong with the file, there is nothing to be found. */
  function attempt<T>(work: () => T): T | undefined {
    try {
      return work();
    } catch (error) {
      if (!isRefusal(error)) throw error;
      if (isBroken(error)) {
        brokenFileId = file?.id;
        close();
      }
      return undefined;
    }
  }

  /** Reads the file that is at the path now, and no other. */
  function follow(): void {
    followedAt = now();
    attempt(() => {
      // Taken before the file is opened: one that is replaced in between is found out the next time.
      const id = idAt(path);
      if (id === file?.id) return;
      close();
      if (id === undefined || id === brokenFileId) return;
      const database = openToRead(path);
      file = { id, database, find: createRememberingFind(database) };
    });
  }

  return {
    find: (sha256: string, fingerprint: string) => attempt(() => file?.find(sha256, fingerprint)),
    follow,
    followSometimes: (): void => {
      if (now() - followedAt >= followEveryMs) follow();
    },
    takeBroken: (): string | undefined => {
      const id = brokenFileId;
      brokenFileId = undefined;
      return id;
    },
    close,
  };
}
