/** Brings the search index of a folder up to date. */
import { stat } from "node:fs/promises";
import { join, relative } from "node:path";
import { Problem } from "../errors.ts";
import { isImageFile, walkFiles } from "../sources/folder.ts";
import type { SearchIndex } from "../store/search-index.ts";
import type { CommandCall } from "./command-call.ts";
import { mapInFlight } from "./in-flight.ts";
import { type EmbeddingParts, widthOf } from "./loaded-model.ts";

interface IndexedFolder {
  readonly folder: string;
  readonly index: SearchIndex;
  /** Id of the model whose vectors the index holds. */
  readonly model: string;
  readonly stop: AbortSignal;
}

/**
 * Embeds what is new or has changed, and forgets what is gone. What is embedded stays so if it is
 * interrupted.
 *
 * @throws the reason of `stop`.
 */
export async function updateIndex(
  call: Pick<CommandCall, "startProgress" | "tell">,
  parts: EmbeddingParts,
  indexed: IndexedFolder,
): Promise<void> {
  const { folder, index, model, stop } = indexed;
  const there = new Set<string>();
  const progress = call.startProgress({ name: "images", size: 1 });
  const count = { embedded: 0, failed: 0 };
  const embed = async ({ path, version }: ChangedFile) => {
    const source = { kind: "file", path: join(folder, path) } as const;
    const input = { source, model, normalize: false, keep: false };
    const result = await parts.embedder.embed(input, stop, {});
    stop.throwIfAborted();
    return { path, version, result };
  };
  const flight = { width: widthOf(parts), isOrdered: false, signal: stop };
  const outcomes = mapInFlight(changedFiles(indexed, there), embed, flight);
  for await (const together of outcomes) {
    for (const { path, version, result } of together) {
      if (result instanceof Problem) {
        there.delete(path);
        count.failed += 1;
        call.tell(`${join(folder, path)}: ${result.message}`);
      } else {
        index.put(path, version, result.vector);
        count.embedded += 1;
      }
    }
    progress.show(count.embedded + count.failed);
  }
  progress.end();
  index.keepOnly(there);
  if (count.embedded > 0) call.tell(`${count.embedded} new of ${there.size} pictures embedded`);
  if (there.size === 0) call.tell(`there are no pictures in ${folder}`);
}

interface ChangedFile {
  /** From the folder. */
  readonly path: string;
  /** Changes whenever the file does. */
  readonly version: string;
}

/** Images that the index does not know as they are; every image that it finds goes into `there`. */
async function* changedFiles(
  { folder, index }: IndexedFolder,
  there: Set<string>,
): AsyncGenerator<ChangedFile> {
  for await (const entry of walkFiles(folder)) {
    const found = await stat(entry.path).catch(() => undefined);
    if (entry.kind !== "file" || found === undefined) continue;
    const path = relative(folder, entry.path);
    const version = `${found.size} ${found.mtimeMs} ${found.ino}`;
    const isKnown = index.has(path, version);
    if (!isKnown && !(await isImageFile(entry.path))) continue;
    there.add(path);
    if (!isKnown) yield { path, version };
  }
}
