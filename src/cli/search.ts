/** `imagesvc search`: the pictures of a folder that fit a text best. */
import { mkdir, realpath, rm, writeFile } from "node:fs/promises";
import { join } from "node:path";
import type { Backend } from "../backends/backend.ts";
import { codeOf, messageOf, Problem } from "../errors.ts";
import { limits } from "../limits.ts";
import { isFolder } from "../sources/folder.ts";
import { type Match, openSearchIndex, type SearchIndex } from "../store/search-index.ts";
import type { CommandCall } from "./command-call.ts";
import { contactSheet, type ShownMatch } from "./contact-sheet.ts";
import { updateIndex } from "./folder-index.ts";
import { inWords } from "./line-output.ts";
import { type ComposeParts, type EmbeddingParts, withLoadedModel } from "./loaded-model.ts";

const defaultTop = 10;
/** Matches that a page shows at most: all of their pictures are in it. */
const maxShown = 200;
/** A picture of some 400 pixels. */
const thumbnailBase64Chars = 40_000;

/** @returns 0, 1 if there is no such folder or no vector for the text, 2 for wrong options, 130 when interrupted. */
export async function runSearch(call: CommandCall, compose: ComposeParts): Promise<number> {
  const [folder = "", text = ""] = call.operands;
  const top = readTop(call.options.get("top"));
  if (top === undefined) {
    call.tell("imagesvc: search: --top must be a whole number from 1 to 100000");
    return 2;
  }
  if (call.options.has("open") && top > maxShown) {
    call.tell(
      `imagesvc: search: --open shows at most ${maxShown} pictures: ask for fewer with --top`,
    );
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
    await printMatches(call, matches);
    if (call.options.has("open")) await showSheet(call, parts, { text, folder, matches, stop });
    const note = noteOf(call);
    if (note !== undefined) call.tell(note);
    return 0;
  });
}

async function printMatches(call: CommandCall, matches: readonly Match[]): Promise<void> {
  if (call.options.has("json")) return await call.print(`${JSON.stringify(matches)}\n`);
  const lines = matches.map(({ path, cosine }) => `${cosine.toFixed(4).padStart(7)}  ${path}\n`);
  await call.print(lines.join(""));
}

/** What must be said of the matches. */
function noteOf({ config }: CommandCall): string | undefined {
  if (config.CLIP_WEIGHTS !== "synthetic") return undefined;
  return "The weights are synthetic: these matches mean nothing.";
}

interface Found {
  readonly text: string;
  readonly folder: string;
  readonly matches: readonly Match[];
  readonly stop: AbortSignal;
}

/** Writes a page with the matches' pictures, and opens it where there is something to do so. */
async function showSheet(call: CommandCall, parts: EmbeddingParts, found: Found): Promise<void> {
  const shown: ShownMatch[] = [];
  for (const match of found.matches) {
    shown.push({ ...match, thumbnail: await thumbnailOf(parts, match.path, found.stop) });
  }
  const path = join(indexFolderOf(call), "matches.html");
  await inWords(path, async () => {
    // The page of an earlier search may be open to others, or a link.
    await rm(path, { force: true });
    const page = contactSheet({ ...found, matches: shown, note: noteOf(call) });
    await writeFile(path, page, { mode: 0o600, flag: "wx" });
  });
  call.tell(`the matches are shown in ${path}`);
  const opener = Bun.which("xdg-open", { PATH: call.environment["PATH"] ?? "" });
  if (opener === null) return;
  // The browser lives longer than this command.
  const io = { stdin: "ignore", stdout: "ignore", stderr: "ignore" } as const;
  Bun.spawn([opener, path], { ...io, env: call.environment }).unref();
}

/** A small JPEG or PNG of a picture; nothing where it cannot be read any more. */
async function thumbnailOf({ batcher }: EmbeddingParts, path: string, stop: AbortSignal) {
  const deadline = performance.now() + limits.hangTimeoutMs;
  const terms = { image: { kind: "file", path } as const, signal: stop, deadline };
  const { outcome } = await batcher.prepareUpstream(terms, thumbnailBase64Chars);
  return "problem" in outcome.result ? undefined : outcome.result;
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
