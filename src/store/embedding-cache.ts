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
import { createFind, type FindEmbedding } from "./embedding-rows.ts";
import { createEmbeddingWriter, type WriterOptions } from "./embedding-writer.ts";

export interface EmbeddingCacheOptions extends WriterOptions {
  /** The module whose `handle` writes. */
  readonly filename: string;
}

/** A vector that was kept, and what its image is. */
export type CachedEmbedding = Omit<NewEmbedding, "fingerprint">;

export interface EmbeddingCache {
  /** Opens the file, which is made where it is missing; resolves also where that fails. */
  open(): Promise<void>;
  /** The vector of an image, if it is here and was made under the same fingerprint. */
  find(sha256: string, fingerprint: string): CachedEmbedding | undefined;
  /** Keeps a vector: it is found at once, and written soon after. */
  keep(embedding: NewEmbedding): void;
  /** Writes what was kept, and closes the file; to be called when nobody keeps anything any more. */
  close(): Promise<void>;
}

/** Makes the cache; nothing is opened before `open`. */
export function createEmbeddingCache(options: EmbeddingCacheOptions): EmbeddingCache {
  const reader = createReader(options.path);
  const thread = startThread(options.filename, limits.cacheThreadIdleMs);
  const { takeBroken, follow: onWritten } = reader;
  const writer = createEmbeddingWriter(options, { thread, takeBroken, onWritten });
  let isOpen = false;
  return {
    open: async () => {
      isOpen = true;
      await writer.flush();
    },
    find: (sha256, fingerprint) => {
      const waiting = writer.find(sha256, fingerprint);
      if (waiting !== undefined) return waiting;
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

/** Reads the file that the thread writes, and any other that takes its place. */
function createReader(path: string) {
  let file: OpenFile | undefined;
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

  return {
    find: (sha256: string, fingerprint: string) => attempt(() => file?.find(sha256, fingerprint)),
    follow: (fileId: string): void => {
      if (file?.id === fileId) return;
      close();
      attempt(() => {
        const database = openToRead(path);
        file = { id: fileIdOf(path), database, find: createFind(database) };
      });
    },
    takeBroken: (): string | undefined => {
      const id = brokenFileId;
      brokenFileId = undefined;
      return id;
    },
    close,
  };
}
