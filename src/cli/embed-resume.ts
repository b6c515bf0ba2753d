/** What a file of records has already, so that a run can go on with it. */
import { open, rename, truncate } from "node:fs/promises";
import { codeOf } from "../errors.ts";
import { type ReadLine, readLine } from "./embed-record.ts";
import { KnownNames } from "./known-names.ts";
import { inWords, OutputError } from "./line-output.ts";

/** What an earlier run has done. */
export interface Earlier {
  /** Sources that have a vector. */
  readonly sources: KnownNames;
  /** What made the vectors; undefined where there are none. */
  readonly model: string | undefined;
  /** Whether they were scaled to unit length. */
  readonly isNormalized: boolean;
}

/** Bytes that are read at once. */
const blockBytes = 256 * 1024;

/**
 * Reads what an earlier run has written, and makes the file fit to be gone on with: a last line that is not whole is
 * cut off, and records of failures are taken out, since what failed is tried again.
 *
 * @returns nothing known where there is no file.
 * @throws OutputError where the file is not of this command, or cannot be read or mended.
 */
export async function readEarlier(path: string): Promise<Earlier> {
  return await inWords(path, async () => {
    const sources = new KnownNames();
    const read = { model: undefined as string | undefined, isNormalized: false };
    let wholeBytes = 0;
    let failures = 0;
    for await (const { line, end } of wholeLines(path)) {
      const record = readRecord(path, line);
      if ("failed" in record) failures += 1;
      else {
        sources.add(record.head.source);
        read.model ??= record.head.model;
        read.isNormalized = record.head.normalized === true;
      }
      wholeBytes = end;
    }
    if (failures > 0) await dropFailures(path);
    else await truncate(path, wholeBytes).catch(unlessMissing);
    return { sources, ...read };
  });
}

function readRecord(path: string, line: string): ReadLine {
  const record = readLine(line);
  if (record !== undefined) return record;
  throw new OutputError(
    `${path} has lines that are no records of imagesvc embed, so there is nothing to go on with: name another file, or leave out --resume to write it anew`,
  );
}

/** Writes the file anew without them, and puts that in its place. */
async function dropFailures(path: string): Promise<void> {
  const aside = `${path}.tmp`;
  const file = await open(aside, "w", 0o666);
  try {
    for await (const { line } of wholeLines(path)) {
      if ("head" in readRecord(path, line)) await file.appendFile(`${line}\n`);
    }
    await file.sync();
  } finally {
    await file.close();
  }
  await rename(aside, path);
}

/** A line without its line break, and where it ends with it. */
interface WholeLine {
  readonly line: string;
  /** Bytes from the file's beginning. */
  readonly end: number;
}

/** The lines of a file that end in a line break; none where there is no file. */
export async function* wholeLines(path: string): AsyncGenerator<WholeLine> {
  const file = await open(path).catch(unlessMissing);
  if (file === undefined) return;
  try {
    let rest = Buffer.alloc(0);
    let end = 0;
    for (;;) {
      const block = Buffer.allocUnsafe(blockBytes);
      const { bytesRead } = await file.read(block, 0, blockBytes, null);
      if (bytesRead === 0) return;
      const bytes = Buffer.concat([rest, block.subarray(0, bytesRead)]);
      let start = 0;
      for (let at = bytes.indexOf(10); at !== -1; at = bytes.indexOf(10, start)) {
        end += at + 1 - start;
        yield { line: bytes.toString("utf8", start, at), end };
        start = at + 1;
      }
      rest = Buffer.from(bytes.subarray(start));
    }
  } finally {
    await file.close();
  }
}

function unlessMissing(error: unknown): undefined {
  if (codeOf(error) !== "ENOENT") throw error;
}
