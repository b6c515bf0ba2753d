/** `imagesvc search`: the pictures of a folder that fit a text best. */
import { mkdir, realpath } from "node:fs/promises";
import { join } from "node:path";
import type { Backend } from "../backends/backend.ts";
import { codeOf, messageOf, Problem } from "../errors.ts";
import { isFolder } from "../sources/folder.ts";
import { openSearchIndex, type SearchIndex } from "../store/search-index.ts";
import type { CommandCall } from "./command-call.ts";
import { updateIndex } from "./folder-index.ts";
import { type ComposeParts, withLoadedModel } from "./loaded-model.ts";

const defaultTop = 10;

/** @returns 0, 1 if there is no such folder or no vector for the text, 2 for wrong options, 130 when interrupted. */
export async function runSearch(call: CommandCall, compose: ComposeParts): Promise<number> {
  const [folder = "", text = ""] = call.operands;
  const top = readTop(call.options.get("top"));
  if (top === undefined) {
    call.tell("imagesvc: search: --top must be a whole number from 1 to 100000");
    return 2;
  }
  if (text.trim() === "") {
    call.tell("imagesvc: search: TEXT is empty: say what to look for\nTry: imagesvc search --help");
    return 2;
  }
  if (!(await isFolder(folder))) {
    call.tell(`imagesvc: search: "${folder}" is no folder: check its path`);
    return 1;
  }
  if (!(await prepareIndexFolder(call))) return 1;
  return await withLoadedModel(call, compose, undefined, async (parts, model, stop) => {
    using index = await openIndex(call, folder, model);
    if (index === undefined) return 1;
    await updateIndex(call, parts, { folder, index, model: model.id, stop });
    const input = { texts: [text], model: model.id, normalize: false };
    const embedded = await parts.textEmbedder.embed(input, stop, {});
    if (embedded instanceof Problem) {
      call.tell(`imagesvc: search: ${embedded.message}`);
      return 1;
    }
    const [query = new Float32Array()] = embedded.vectors;
    const matches = index
      .best(query, top)
      .map(({ path, cosine }) => ({ path: join(folder, path), cosine: Number(cosine.toFixed(6)) }));
    if (call.options.has("json")) await call.print(`${JSON.stringify(matches)}\n`);
    else {
      const lines = matches.map(
        ({ path, cosine }) => `${cosine.toFixed(4).padStart(7)}  ${path}\n`,
      );
      await call.print(lines.join(""));
    }
    if (call.config.CLIP_WEIGHTS === "synthetic") {
      call.tell("The weights are synthetic: these matches mean nothing.");
    }
    return 0;
  });
}

function readTop(text: string | true | undefined): number | undefined {
  if (text === undefined) return defaultTop;
  const top = typeof text === "string" && /^\d{1,6}$/.test(text) ? Number(text) : 0;
  return top >= 1 && top <= 100_000 ? top : undefined;
}

function indexFolderOf({ folders }: CommandCall): string {
  return join(folders.cache, "search");
}

/** Before the model is loaded, which takes long. @returns false after it was said why it cannot be made. */
async function prepareIndexFolder(call: CommandCall): Promise<boolean> {
  try {
    await mkdir(indexFolderOf(call), { recursive: true, mode: 0o700 });
    return true;
  } catch (error) {
    tellIndexFault(call, error);
    return false;
  }
}

function tellIndexFault({ tell }: CommandCall, error: unknown): void {
  const why = codeOf(error) || messageOf(error);
  tell(
    `imagesvc: search: the index cannot be kept (${why}): set CACHE_DIR to a folder that this user can write`,
  );
}

/** Each folder has an index of its own for each way of making vectors. */
async function openIndex(
  call: CommandCall,
  folder: string,
  model: Backend,
): Promise<SearchIndex | undefined> {
  const { config, tell } = call;
  const identity = [await realpath(folder), model.exactId, config.EXIF_ORIENTATION];
  const name = new Bun.CryptoHasher("sha256").update(JSON.stringify(identity)).digest("hex");
  const onBroken = () => tell("The search index was broken: it is made again.");
  try {
    return await openSearchIndex(join(indexFolderOf(call), `${name}.sqlite`), onBroken);
  } catch (error) {
    tellIndexFault(call, error);
    return undefined;
  }
}
