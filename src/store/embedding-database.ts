/**
 * The file of the embedding cache: SQLite, opened by the thread that writes it, by the main thread that reads
 * it, and by the command that deletes from it, each with a connection of its own.
 */
import { constants, Database, SQLiteError } from "bun:sqlite";
import { closeSync, mkdirSync, openSync, readdirSync, renameSync, rmSync, statSync } from "node:fs";
import { basename, dirname, join } from "node:path";
import { codeOf } from "../errors.ts";
import { pragma } from "./pragma.ts";

/** Goes into every file: to be raised whenever the tables change. */
const VERSION = 1;

/** A page holds seven of CLIP's vectors, or two of NV-DINOv2's: little of it is wasted on either. */
const pageBytes = 16 * 1024;
/** The write-ahead log's part of the limit. */
const maxLogBytes = 16 * 1024 * 1024;

const schema = `
  CREATE TABLE makers (id INTEGER PRIMARY KEY, fingerprint TEXT NOT NULL UNIQUE, model TEXT NOT NULL) STRICT;
  CREATE TABLE vectors (
    id INTEGER PRIMARY KEY, image BLOB NOT NULL, maker INTEGER NOT NULL, used INTEGER NOT NULL,
    format TEXT NOT NULL, width INTEGER NOT NULL, height INTEGER NOT NULL,
    checksum INTEGER NOT NULL, vector BLOB NOT NULL, UNIQUE (image, maker)
  ) STRICT;
  CREATE INDEX vectors_by_use ON vectors (used);
  PRAGMA user_version = ${VERSION};`;

/** Path of the file in the cache folder. */
export function embeddingDatabasePath(cacheDir: string): string {
  return join(cacheDir, "embeddings.sqlite");
}

/** The file is not one of ours, or not of this version. */
export class ForeignFileError extends Error {
  override readonly name = "ForeignFileError";
}

/** How a file is opened to be written. */
interface WriteTerms {
  /** Bytes that the file and its write-ahead log may have together. */
  readonly maxBytes: number;
  /** ms to wait for another process that writes. */
  readonly busyTimeoutMs: number;
}

/**
 * Opens the file to write to it; one that is missing is made, readable by this user alone.
 *
 * @returns a connection with which the file never outgrows its limit: `SQLITE_FULL` when it would.
 * @throws ForeignFileError; SQLiteError, such as of a file that is broken; Error of the file system.
 */
export function openToWrite(path: string, { maxBytes, busyTimeoutMs }: WriteTerms): Database {
  makeFile(path);
  const logBytes = Math.min(maxLogBytes, maxBytes / 4);
  return open(path, (database) => {
    database.run(`PRAGMA busy_timeout = ${busyTimeoutMs}`);
    // Both count for a file without tables only.
    database.run(`PRAGMA page_size = ${pageBytes}`);
    database.run("PRAGMA journal_mode = WAL");
    // After a power cut the newest vectors may be missing; the file is whole.
    database.run("PRAGMA synchronous = NORMAL");
    database.run(`PRAGMA wal_autocheckpoint = ${Math.floor(logBytes / 2 / pageBytes)}`);
    database.run(`PRAGMA journal_size_limit = ${logBytes}`);
    // Else what was deleted would stay in the file's free space.
    database.run("PRAGMA secure_delete = ON");
    database.run(`PRAGMA max_page_count = ${Math.floor((maxBytes - logBytes) / pageBytes)}`);
    database.transaction(() => makeTables(database)).immediate();
  });
}

/**
 * Opens a file that is there, without waiting for others that write to it.
 *
 * @throws ForeignFileError; SQLiteError.
 */
export function openToRead(path: string): Database {
  return open(path, () => {});
}

/** What tells this file from another under the same path. */
export function fileIdOf(path: string): string {
  const { dev, ino } = statSync(path, { bigint: true });
  return `${dev}:${ino}`;
}

/** Whether the file can never be read again, and a new one helps. */
export function isBroken(error: unknown): boolean {
  if (error instanceof ForeignFileError) return true;
  return error instanceof SQLiteError && /^SQLITE_(NOTADB|CORRUPT)/.test(error.code ?? "");
}

/**
 * Moves the file aside under a name with the time, and deletes the one that was moved before.
 *
 * @param fileId the file that is meant; whichever it is unless told.
 */
export function setAside(path: string, now: Date, fileId?: string): void {
  if (statSync(path, { throwIfNoEntry: false }) === undefined) return;
  if (fileId !== undefined && fileIdOf(path) !== fileId) return;
  removeSetAside(path);
  renameSync(path, `${path}.corrupt-${now.toISOString().replaceAll(":", "-")}`);
  removeCompanions(path);
}

/**
 * Deletes every file that was moved aside from this path, with all vectors in it.
 *
 * @returns how many there were.
 * @throws Error of the file system.
 */
export function removeSetAside(path: string): number {
  const folder = dirname(path);
  if (statSync(folder, { throwIfNoEntry: false }) === undefined) return 0;
  const prefix = `${basename(path)}.corrupt-`;
  const names = readdirSync(folder).filter((name) => name.startsWith(prefix));
  for (const name of names) rmSync(join(folder, name), { force: true });
  return names.length;
}

/** Deletes the file where it is larger than its limit, which is then a new one. */
export function removeTooLarge(path: string, maxBytes: number): void {
  const found = statSync(path, { throwIfNoEntry: false });
  if (found === undefined || found.size <= maxBytes) return;
  rmSync(path, { force: true });
  removeCompanions(path);
}

/** Another file's log would be taken for this one's. */
function removeCompanions(path: string): void {
  for (const suffix of ["-wal", "-shm"]) rmSync(`${path}${suffix}`, { force: true });
}

/**
 * SQLite itself would make the file readable by all. A file that is there is not opened here: closing it would
 * give up the locks that this process has on it through SQLite.
 */
function makeFile(path: string): void {
  mkdirSync(dirname(path), { recursive: true, mode: 0o700 });
  if (statSync(path, { throwIfNoEntry: false }) !== undefined) return;
  try {
    closeSync(openSync(path, "wx", 0o600));
  } catch (error) {
    if (codeOf(error) !== "EEXIST") throw error;
  }
}

function open(path: string, prepare: (database: Database) => void): Database {
  const database = new Database(path, { readwrite: true, create: false, strict: true });
  try {
    // Else the last one to close a file that was set aside would delete its successor's log.
    database.fileControl(constants.SQLITE_FCNTL_PERSIST_WAL, 1);
    prepare(database);
    if (pragma(database, "user_version") !== VERSION)
      throw new ForeignFileError("another version's file");
    return database;
  } catch (error) {
    database.close();
    throw error;
  }
}

function makeTables(database: Database): void {
  const [{ tables } = { tables: 0 }] = database
    .query<{ tables: number }, []>("SELECT count(*) AS tables FROM sqlite_schema")
    .all();
  if (tables === 0) database.run(schema);
}
