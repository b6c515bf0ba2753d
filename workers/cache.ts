/**
 * The threads beside those that infer: one hashes large images, so that they can be looked up, and one writes
 * the embedding cache, whose disk may be slow. They keep nothing between tasks.
 */
import { move, transferableSymbol, valueSymbol } from "piscina";
import type { CacheAnswers, CacheTask, ImageBytes } from "../src/backends/protocol.ts";
import { codeOf, messageOf } from "../src/errors.ts";
import { limits } from "../src/limits.ts";
import {
  ForeignFileError,
  fileIdOf,
  isBroken,
  openToWrite,
  removeTooLarge,
  setAside,
} from "../src/store/embedding-database.ts";
import { writeEmbeddings } from "../src/store/embedding-rows.ts";
import { digest } from "./image-bytes.ts";

type Write = Extract<CacheTask, { kind: "write" }>;

/** Entry point for piscina: does one task, and gives an image's bytes back by transfer. */
export async function handle(task: CacheTask): Promise<object> {
  switch (task.kind) {
    case "digest":
      return await digestImage(task.image);
    case "write":
      return write(task);
    default:
      return task satisfies never;
  }
}

/** What the file system refuses is an outcome. */
async function digestImage(image: ImageBytes): Promise<object> {
  const buffers = image.kind === "memory" ? [image.bytes.buffer] : [];
  const answer: CacheAnswers["digest"] = await digest(image).then(
    (sha256) => ({ ...image, sha256 }),
    (error: unknown) => ({ fault: faultOf(error) }),
  );
  return move({ [transferableSymbol]: buffers, [valueSymbol]: answer });
}

/** Whatever the file system or SQLite refuses is an outcome. */
function write(task: Write): CacheAnswers["write"] {
  try {
    if (task.isFirst) removeTooLarge(task.path, task.maxBytes);
    const { brokenFileId } = task;
    if (brokenFileId !== undefined) setAside(task.path, new Date(), brokenFileId);
    return { fileId: writeTo(task), isNew: brokenFileId !== undefined };
  } catch (error) {
    if (!isReplaceable(error, task)) return { fault: faultOf(error) };
  }
  try {
    setAside(task.path, new Date());
    return { fileId: writeTo(task), isNew: true };
  } catch (error) {
    return { fault: faultOf(error) };
  }
}

/** While two versions run side by side, the file is the newer one's: each would put the other's aside for ever. */
function isReplaceable(error: unknown, { isFirst }: Write): boolean {
  return isBroken(error) && (isFirst || !(error instanceof ForeignFileError));
}

/** @returns what tells the file from another. */
function writeTo({ path, maxBytes, embeddings, used }: Write): string {
  using database = openToWrite(path, { maxBytes, busyTimeoutMs: limits.cacheBusyMs });
  const nowHour = Math.floor(Date.now() / 3_600_000);
  writeEmbeddings(database, { embeddings, used, nowHour });
  return fileIdOf(path);
}

function faultOf(error: unknown): string {
  return codeOf(error) || messageOf(error);
}
