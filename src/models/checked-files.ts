/**
 * What files looked like when their bytes were hashed: one that looks so still need not be hashed again,
 * and one that was changed, replaced or damaged by a program is noticed. It is no defence against
 * somebody who can write to the folder, for the record lies there too.
 */
import { createHash } from "node:crypto";
import { createReadStream, existsSync } from "node:fs";
import { readFile, stat } from "node:fs/promises";
import { basename, dirname, join } from "node:path";
import { isRecord } from "./json.ts";
import { replaceText } from "./replace-text.ts";

/** What a file is known by. */
export interface FileFacts {
  readonly bytes: number;
  /** Lower-case hex. */
  readonly sha256: string;
}

/** One file, when it was hashed. */
export interface CheckedFile extends FileFacts {
  /** Decimal: 64 bits do not fit a number. */
  readonly inode: string;
  /** ns since 1970, decimal. */
  readonly modifiedNs: string;
  /** ns since 1970 of the last change of name, owner or content, decimal; no program can set it back. */
  readonly changedNs: string;
}

/** Files by the names that they have in a folder's record. */
export type CheckedFiles = Readonly<Record<string, CheckedFile>>;

/** Who wants to know how far the reading is, and may end it. */
export interface ReadTerms {
  readonly signal?: AbortSignal;
  /** Hears how many bytes were read so far. */
  readonly onRead?: (bytes: number) => void;
}

/** Name of a folder's record. */
export const recordName = "checked.json";

/** Reads a folder's record; one that is not there or broken says nothing about any file. */
export async function readCheckedFiles(folder: string): Promise<CheckedFiles> {
  try {
    const parsed: unknown = JSON.parse(await readFile(join(folder, recordName), "utf8"));
    return isRecord(parsed)
      ? Object.fromEntries(Object.entries(parsed).filter(isCheckedEntry))
      : {};
  } catch {
    return {};
  }
}

/** Whether a folder has a record, whatever it says. Where none could be written there is none. */
export function hasCheckedFiles(folder: string): boolean {
  return existsSync(join(folder, recordName));
}

/** Writes a folder's record; where nothing can be written, the files are hashed again the next time. */
export async function writeCheckedFiles(folder: string, files: CheckedFiles): Promise<void> {
  const text = `${JSON.stringify(files, null, 2)}\n`;
  await replaceText(join(folder, recordName), text).catch(() => {});
}

/** Whether a file is there and looks as it did when it was hashed. */
export async function looksUnchanged(
  path: string,
  checked: CheckedFile | undefined,
): Promise<boolean> {
  const now = await lookAt(path).catch(() => undefined);
  return now !== undefined && checked !== undefined && isSame(now, checked);
}

/**
 * Whether a file is what its folder's record says: the record names it, and it looks as it did, or its bytes are the
 * same.
 *
 * @throws Error of the file system.
 */
export async function isAsChecked(path: string): Promise<boolean> {
  const checked = (await readCheckedFiles(dirname(path)))[basename(path)];
  if (checked === undefined) return false;
  return (await looksUnchanged(path, checked)) || (await checkFile(path)).sha256 === checked.sha256;
}

/**
 * Hashes a file.
 *
 * @throws Error of the file system, or with one sentence when the file changes meanwhile; the signal's reason.
 */
export async function checkFile(path: string, terms: ReadTerms = {}): Promise<CheckedFile> {
  const before = await lookAt(path);
  const sha256 = await digestFile(path, terms);
  if (!isSame(await lookAt(path), before)) {
    throw new Error("a file of the model changed while it was read: try again");
  }
  return { ...before, sha256 };
}

/**
 * The SHA-256 of a file, in lower-case hex.
 *
 * @throws Error of the file system; the signal's reason.
 */
export async function digestFile(path: string, { signal, onRead }: ReadTerms = {}) {
  const hash = createHash("sha256");
  let read = 0;
  for await (const chunk of createReadStream(path, { highWaterMark: 1 << 20 })) {
    signal?.throwIfAborted();
    hash.update(chunk);
    read += chunk.length;
    onRead?.(read);
  }
  return hash.digest("hex");
}

type Look = Omit<CheckedFile, "sha256">;

async function lookAt(path: string): Promise<Look> {
  const { size, ino, mtimeNs, ctimeNs } = await stat(path, { bigint: true });
  return {
    bytes: Number(size),
    inode: String(ino),
    modifiedNs: String(mtimeNs),
    changedNs: String(ctimeNs),
  };
}

function isSame(one: Look, other: Look): boolean {
  return (
    one.bytes === other.bytes &&
    one.inode === other.inode &&
    one.modifiedNs === other.modifiedNs &&
    one.changedNs === other.changedNs
  );
}

function isCheckedEntry(entry: [string, unknown]): entry is [string, CheckedFile] {
  const [, value] = entry;
  if (!isRecord(value)) return false;
  const texts = ["sha256", "inode", "modifiedNs", "changedNs"].map((name) => value[name]);
  return typeof value["bytes"] === "number" && texts.every((text) => typeof text === "string");
}
