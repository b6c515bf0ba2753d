/** The records of `imagesvc embed`, and their lines. */
import type { ProblemCode } from "../errors.ts";
import { toBase64 } from "../vector/base64.ts";
import { jsonBytes } from "../vector/json-bytes.ts";

/** What is known of a vector. */
export interface RecordHead {
  /** Path, URL, or `FILE:LINE` of a text. */
  readonly source: string;
  readonly text?: string;
  /** Exactly what made the vector. */
  readonly model: string;
  readonly dimensions: number;
  /** Of an image's bytes: lower-case hex. */
  readonly sha256?: string;
  /** Whether a text's end was left out. */
  readonly truncated?: boolean;
  /** There where the vector was scaled to unit length. */
  readonly normalized?: true;
}

/** One vector of the output. */
export interface EmbeddedRecord extends RecordHead {
  /** float32, [dimensions]. */
  readonly vector: Float32Array;
}

/** Something that could not be embedded. */
export interface FailedRecord {
  readonly source: string;
  readonly error: { readonly code: ProblemCode; readonly detail: string };
}

/** A line of JSON; every number is the shortest decimal that reads back to the same float32. */
export function toLine({ vector, ...head }: EmbeddedRecord): Uint8Array {
  return jsonBytes({ ...head, vector }, "\n");
}

/** A line of JSON that is shorter and faster to read: the vector as base64 of little-endian float32. */
export function toJournalLine({ vector, ...head }: EmbeddedRecord): Uint8Array {
  return jsonBytes({ ...head, vector: toBase64(vector) }, "\n");
}

/** A line of JSON. */
export function toFailedLine({ source, error }: FailedRecord): Uint8Array {
  return jsonBytes({ source, error }, "\n");
}

/** Inside a JSON string the quotes would be escaped, so that this is found at the record's own key alone. */
const vectorKey = ',"vector":';

/** A line that was read back: what is known of its vector, or that it is a failure. */
export type ReadLine = { readonly head: RecordHead } | { readonly failed: string };

/** @returns nothing where the line, without its line break, is none of this command. */
export function readLine(line: string): ReadLine | undefined {
  const end = line.lastIndexOf(vectorKey);
  try {
    const read: unknown = JSON.parse(end === -1 ? line : `${line.slice(0, end)}}`);
    if (typeof read !== "object" || read === null || !("source" in read)) return undefined;
    if (typeof read.source !== "string") return undefined;
    if (end === -1) return "error" in read ? { failed: read.source } : undefined;
    return isHead(read) && /[\]"]}$/.test(line) ? { head: read } : undefined;
  } catch {
    return undefined;
  }
}

/** @returns nothing where the line is no whole one of a journal. */
export function readJournalLine(line: string): EmbeddedRecord | undefined {
  const read = readLine(line);
  if (read === undefined || "failed" in read) return undefined;
  try {
    const text = line.slice(line.lastIndexOf(vectorKey) + vectorKey.length + 1, -2);
    const bytes = Uint8Array.fromBase64(text);
    const isWhole = bytes.byteLength === read.head.dimensions * Float32Array.BYTES_PER_ELEMENT;
    return isWhole ? { ...read.head, vector: new Float32Array(bytes.buffer) } : undefined;
  } catch {
    return undefined;
  }
}

function isHead(read: object): read is RecordHead {
  const { model, dimensions }: { model?: unknown; dimensions?: unknown } = read;
  return typeof model === "string" && typeof dimensions === "number";
}
