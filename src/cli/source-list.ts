/** What a bulk command is told to embed: one thing after the other, as it is found. */
import { Problem } from "../errors.ts";
import { hasImageName, isFolder, isImageFile, walkFiles } from "../sources/folder.ts";
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
}

/** Files, folders and URLs; `-` is a list of them, one a line. */
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
  { stdin }: ListOptions,
): AsyncGenerator<Listed<string>> {
  for (const operand of operands) {
    let line = 0;
    try {
      const stream = operand === "-" ? stdin() : Bun.file(operand).stream();
      for await (const thing of readLines(stream)) {
        line += 1;
        yield { name: `${operand}:${line}`, thing };
      }
    } catch (cause) {
      const detail = "This is no text file that can be read: check its path and permissions.";
      yield { name: operand, problem: new Problem("not-found", detail, { cause }) };
    }
  }
}

async function* listOperand(
  operand: string,
  { onSkipped }: ListOptions,
): AsyncGenerator<Listed<ImageSource>> {
  if (/^https?:\/\//i.test(operand)) {
    yield { name: operand, thing: { kind: "url", url: operand } };
  } else if (await isFolder(operand)) {
    yield* listFolder(operand, onSkipped);
  } else if (/^[a-z][a-z\d+.-]*:\/\//i.test(operand)) {
    const detail =
      "Only http:// and https:// URLs, files and folders are taken: download it first.";
    yield { name: operand, problem: new Problem("invalid-image-url", detail) };
  } else {
    yield { name: operand, thing: { kind: "file", path: operand } };
  }
}

async function* listFolder(
  folder: string,
  onSkipped: () => void,
): AsyncGenerator<Listed<ImageSource>> {
  for await (const { kind, path } of walkFiles(folder)) {
    if (kind === "unreadable") {
      const detail = "The folder may not be read: check its permissions.";
      yield { name: path, problem: new Problem("not-found", detail) };
    } else if (hasImageName(path) || (await isImageFile(path))) {
      // A damaged picture is listed too: what is lost must not go unsaid.
      yield { name: path, thing: { kind: "file", path } };
    } else onSkipped();
  }
}
