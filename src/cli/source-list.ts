/** What a bulk command is told to embed: one thing after the other, as it is found. */
import { isAbsolute, normalize, relative } from "node:path";
import { Problem } from "../errors.ts";
import {
  type FolderEntry,
  hasImageName,
  isFolder,
  isImageFile,
  walkFiles,
} from "../sources/folder.ts";
import type { ImageSource } from "../sources/source.ts";
import { readLines } from "./lines.ts";

/** One thing to embed, or one that could not be found. */
export type Listed<Thing> =
  | { readonly name: string; readonly thing: Thing }
  | { readonly name: string; readonly problem: Problem };

export interface ListOptions {
  /** What `-` reads. */
  readonly stdin: () => AsyncIterable<Uint8Array>;
  /** Called for each file of a folder that is no image, by its bytes and by its name. */
  readonly onSkipped: () => void;
  /**
   * Whether a thing is listed at all; asked before its file is looked at.
   *
   * @param key what it is called wherever its folder lies: the path inside, or a text's line number.
   */
  readonly wants: (name: string, key: string) => boolean;
}

/** Files, folders, patterns and URLs; `-` is a list of them, one a line. */
export async function* listImages(
  operands: readonly string[],
  options: ListOptions,
): AsyncGenerator<Listed<ImageSource>> {
  for (const operand of operands) {
    if (operand !== "-") {
      yield* listOperand(operand, options);
      continue;
    }
    for await (const line of readLines(options.stdin())) {
      if (line.trim() !== "") yield* listOperand(line, options);
    }
  }
}

/** The lines of text files, or of stdin for `-`: also the empty ones, so that lines can be counted. */
export async function* listTexts(
  operands: readonly string[],
  { stdin, wants }: ListOptions,
): AsyncGenerator<Listed<string>> {
  for (const operand of operands) {
    let line = 0;
    try {
      const stream = operand === "-" ? stdin() : Bun.file(operand).stream();
      for await (const thing of readLines(stream)) {
        line += 1;
        const name = `${operand}:${line}`;
        if (wants(name, String(line))) yield { name, thing };
      }
    } catch (cause) {
      const detail = "This is no text file that can be read: check its path and permissions.";
      yield { name: operand, problem: new Problem("not-found", detail, { cause }) };
    }
  }
}

async function* listOperand(
  operand: string,
  options: ListOptions,
): AsyncGenerator<Listed<ImageSource>> {
  const listed = await readOperand(operand);
  if ("files" in listed) yield* listFiles(listed.files, listed.folder, options);
  else if (options.wants(operand, operand)) yield listed;
}

/** One thing, or the files of a folder. */
async function readOperand(
  operand: string,
): Promise<Listed<ImageSource> | { readonly files: Files; readonly folder: string }> {
  if (/^https?:\/\//i.test(operand)) return { name: operand, thing: { kind: "url", url: operand } };
  if (await isFolder(operand)) return { files: walkFiles(operand), folder: operand };
  if (/^[a-z][a-z\d+.-]*:\/\//i.test(operand)) {
    const detail =
      "Only http:// and https:// URLs, files and folders are taken: download it first.";
    return { name: operand, problem: new Problem("invalid-image-url", detail) };
  }
  if (wildcard.test(operand) && !(await Bun.file(operand).exists())) return readPattern(operand);
  return { name: operand, thing: { kind: "file", path: operand } };
}

const wildcard = /[*?[{]/;

type Files = AsyncIterable<FolderEntry>;

/** The files that fit a pattern which the shell has left alone, such as `'photos/**\/*.jpg'`. */
async function readPattern(operand: string) {
  const pattern = normalize(operand);
  const parts = pattern.split("/");
  const fixed = parts.findIndex((part) => wildcard.test(part));
  const folder = parts.slice(0, fixed).join("/") || (isAbsolute(pattern) ? "/" : ".");
  const depth = pattern.includes("**") ? undefined : parts.length - fixed;
  const files = filesThatFit(walkFiles(folder, depth), new Bun.Glob(pattern));
  // Whether there is one must be known before the rest.
  const first = await files.next();
  if (first.done !== true && (await isFolder(folder))) {
    return { files: startingWith(first.value, files), folder };
  }
  const detail = "No file fits this pattern: check its spelling.";
  return { name: operand, problem: new Problem("not-found", detail) };
}

async function* filesThatFit(files: Files, glob: Bun.Glob): AsyncGenerator<FolderEntry> {
  for await (const entry of files) {
    if (entry.kind === "unreadable" || glob.match(entry.path)) yield entry;
  }
}

async function* startingWith<T>(first: T, others: AsyncIterable<T>): AsyncGenerator<T> {
  yield first;
  yield* others;
}

async function* listFiles(
  entries: AsyncIterable<FolderEntry>,
  folder: string,
  { onSkipped, wants }: ListOptions,
): AsyncGenerator<Listed<ImageSource>> {
  for await (const { kind, path } of entries) {
    if (!wants(path, relative(folder, path))) continue;
    if (kind === "unreadable") {
      const detail = "The folder may not be read: check its permissions.";
      yield { name: path, problem: new Problem("not-found", detail) };
    } else if (hasImageName(path) || (await isImageFile(path))) {
      // A damaged picture is listed too: what is lost must not go unsaid.
      yield { name: path, thing: { kind: "file", path } };
    } else onSkipped();
  }
}
