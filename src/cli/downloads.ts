/** `imagesvc downloads`: the images that a service keeps. */
import { existsSync } from "node:fs";
import { codeOf, messageOf } from "../errors.ts";
import { limits } from "../limits.ts";
import { embeddingDatabasePath, openToRead, removeSetAside } from "../store/embedding-database.ts";
import { forgetImage } from "../store/embedding-rows.ts";
import {
  deleteImage,
  deleteUnlessKeptAgain,
  type KeptImage,
  keptImages,
  keptImagesOf,
  nameOf,
} from "../store/kept-images.ts";
import { prune, type RetentionRule } from "../store/retention.ts";
import type { CommandCall } from "./command-call.ts";

/** Prints every kept image, newest first. */
export async function runDownloadsList(call: CommandCall): Promise<number> {
  return await withFolder(call, async (directory) => {
    const images: KeptImage[] = [];
    for await (const image of keptImages(directory)) {
      call.interrupted.throwIfAborted();
      images.push(image);
    }
    images.sort((a, b) => b.keptAtMs - a.keptAtMs);
    const rows = images.map(({ sha256, format, sizeBytes, keptAtMs }) => {
      return { sha256, format, bytes: sizeBytes, kept_since: timeOf(keptAtMs) };
    });
    if (call.options.has("json")) await call.print(`${JSON.stringify(rows, null, 2)}\n`);
    else {
      const lines = rows.map(
        ({ sha256, format, bytes, kept_since }) =>
          `${sha256}  ${format.padEnd(4)}  ${String(bytes).padStart(10)}  ${kept_since}\n`,
      );
      await call.print(lines.join(""));
    }
    call.tell(`${total(images)} kept.`);
    return 0;
  });
}

/** Deletes what is too old or too much, and prints what it was. */
export async function runDownloadsPrune(call: CommandCall): Promise<number> {
  const { DOWNLOADS_MAX_AGE: maxAgeMs, DOWNLOADS_MAX_BYTES: maxBytes } = call.config;
  const rule: RetentionRule = { maxAgeMs, maxBytes };
  if (maxAgeMs === 0 && maxBytes === 0) {
    call.tell(
      "imagesvc: nothing says what is too old or too much: set DOWNLOADS_MAX_AGE or DOWNLOADS_MAX_BYTES, or give --downloads-max-age or --downloads-max-bytes",
    );
    return 2;
  }
  const isDryRun = call.options.has("dry-run");
  return await withFolder(call, async (directory) => {
    const names: string[] = [];
    const remove = async (image: KeptImage) => {
      const isGone = isDryRun || (await deleteUnlessKeptAgain(directory, image));
      if (isGone) names.push(nameOf(image));
      return isGone;
    };
    const { interrupted: signal } = call;
    const all = Number.POSITIVE_INFINITY;
    const pruned = await prune({
      directory,
      rule,
      nowMs: Date.now(),
      maxHeld: all,
      remove,
      signal,
    }).finally(() => call.print(names.map((name) => `${name}\n`).join("")));
    const { deleted, deletedBytes, kept, keptBytes } = pruned;
    const done = isDryRun ? "would be deleted" : "deleted";
    call.tell(`${count(deleted, deletedBytes)} ${done}, ${count(kept, keptBytes)} kept.`);
    if (deleted > 0 && existsSync(embeddingDatabasePath(call.folders.cache))) {
      call.tell("Their vectors stay in the cache: downloads delete takes those of an image too.");
    }
    return 0;
  });
}

/** Deletes the image of a digest, in every format that it was kept in, and the vectors of it that are kept. */
export async function runDownloadsDelete(call: CommandCall): Promise<number> {
  const sha256 = (call.operands[0] ?? "").toLowerCase();
  if (!/^[0-9a-f]{64}$/.test(sha256)) {
    call.tell("imagesvc: SHA256 must be the whole digest, 64 hex digits: see downloads list");
    return 2;
  }
  return await withFolder(call, async (directory) => {
    const deleted: KeptImage[] = [];
    for (const image of await keptImagesOf(directory, sha256)) {
      if (await deleteImage(directory, image)) deleted.push(image);
    }
    const vectors = forgetVectors(call, sha256);
    if (vectors === undefined) return 1;
    if (deleted.length === 0 && vectors === 0) {
      call.tell("imagesvc: no image of this digest is kept: see downloads list");
      return 1;
    }
    call.tell(`${total(deleted)} and ${vectors} ${vectors === 1 ? "vector" : "vectors"} deleted.`);
    return 0;
  });
}

/**
 * Deletes the vectors of an image, and every file with vectors that was put aside as broken, whatever is in it.
 *
 * @returns how many vectors there were; undefined after it was said that they are still there.
 */
function forgetVectors({ folders, tell }: CommandCall, sha256: string): number | undefined {
  const path = embeddingDatabasePath(folders.cache);
  try {
    removeSetAside(path);
    if (!existsSync(path)) return 0;
    using database = openToRead(path);
    database.run(`PRAGMA busy_timeout = ${limits.cacheLockTimeoutMs}`);
    const { vectors, isErased } = forgetImage(database, sha256);
    if (isErased) return vectors;
    tell(
      `imagesvc: ${path}: the vectors of the image are deleted, but not yet overwritten, since the file is in use: run the command again`,
    );
    return undefined;
  } catch (error) {
    const why = codeOf(error) || messageOf(error);
    tell(
      `imagesvc: ${path}: the vectors of the image cannot be deleted (${why}): stop the service, and delete the file`,
    );
    return undefined;
  }
}

/** Does the work in the downloads folder, and says in one sentence why it could not. */
async function withFolder(
  { folders, interrupted, tell }: CommandCall,
  work: (directory: string) => Promise<number>,
): Promise<number> {
  const { downloads } = folders;
  try {
    return await work(downloads);
  } catch (error) {
    if (interrupted.aborted) return 130;
    tell(`imagesvc: ${downloads}: ${reasonOf(error)}`);
    return 1;
  }
}

function reasonOf(error: unknown): string {
  switch (codeOf(error)) {
    case "ENOENT":
    case "ENOTDIR":
      return "there is no such folder: say with DOWNLOADS_DIR or --downloads-dir where it is";
    case "EACCES":
    case "EPERM":
    case "EROFS":
      return "this user may not read or change it: run the command as the service's user";
    default:
      return messageOf(error);
  }
}

function total(images: readonly KeptImage[]): string {
  return count(
    images.length,
    images.reduce((bytes, { sizeBytes }) => bytes + sizeBytes, 0),
  );
}

function count(images: number, bytes: number): string {
  return `${images} ${images === 1 ? "image" : "images"} (${bytes} bytes)`;
}

function timeOf(ms: number): string {
  return `${new Date(ms).toISOString().slice(0, 19)}Z`;
}
