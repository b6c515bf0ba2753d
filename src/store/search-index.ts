/** The vectors of a folder's pictures, kept from one search to the next. */
import { Database, SQLiteError } from "bun:sqlite";
import { mkdir, rm } from "node:fs/promises";
import { dirname } from "node:path";
import { cosineSimilarity } from "../vector/similarity.ts";

/** A picture, and how well it fits. */
export interface Match {
  readonly path: string;
  /** From -1 to 1. */
  readonly cosine: number;
}

export interface SearchIndex extends Disposable {
  /** @param version what changes whenever the file does. */
  has(path: string, version: string): boolean;
  /** @param vector float32, [dimensions]. It is there for every later search, also after a crash. */
  put(path: string, version: string, vector: Float32Array): void;
  /** Forgets every picture but these: afterwards neither the index nor its log has their names or vectors. */
  keepOnly(paths: ReadonlySet<string>): void;
  /**
   * The best matches, best first.
   *
   * @param query float32, [dimensions], of the same model.
   */
  best(query: Float32Array, count: number): readonly Match[];
}

/** Goes into every index: to be raised whenever its tables change. Version 1 did not overwrite what it deleted. */
const VERSION = 2;

/** How long another process may write before this one gives up. */
const busyTimeoutMs = 10_000;

/**
 * Opens an index, which is made where it is missing. One that is broken, or of another version, is deleted, for it
 * holds what nobody would look for there, and a new one begun.
 *
 * @param onBroken called then.
 * @throws Error of the file system or of SQLite, such as a full disk.
 */
export async function openSearchIndex(path: string, onBroken: () => void): Promise<SearchIndex> {
  await mkdir(dirname(path), { recursive: true, mode: 0o700 });
  const database = openWhole(path);
  if (database !== undefined) return toIndex(database);
  onBroken();
  for (const suffix of ["", "-wal", "-shm"]) await rm(`${path}${suffix}`, { force: true });
  const made = openWhole(path);
  if (made === undefined) throw new Error("a new search index is broken at once");
  return toIndex(made);
}

/** @returns nothing where the file is no whole index of this version. */
function openWhole(path: string): Database | undefined {
  const database = new Database(path, { create: true, strict: true });
  try {
    database.run(`PRAGMA busy_timeout = ${busyTimeoutMs}`);
    database.run("PRAGMA journal_mode = WAL");
    database.run("PRAGMA synchronous = NORMAL");
    // Names and vectors tell of pictures: those that are deleted are overwritten.
    database.run("PRAGMA secure_delete = ON");
    database.transaction(() => prepare(database)).immediate();
    const [check] = database.query<{ quick_check: string }, []>("PRAGMA quick_check(1)").all();
    if (versionOf(database) === VERSION && check?.quick_check === "ok") return database;
  } catch (error) {
    if (!isBroken(error)) {
      database.close();
      throw error;
    }
  }
  database.close();
  return undefined;
}

function prepare(database: Database): void {
  const { tables } = database
    .query<{ tables: number }, []>("SELECT count(*) AS tables FROM sqlite_schema")
    .get() ?? { tables: 0 };
  if (tables > 0) return;
  database.run(
    "CREATE TABLE pictures (path TEXT PRIMARY KEY, version TEXT NOT NULL, vector BLOB NOT NULL) STRICT",
  );
  database.run(`PRAGMA user_version = ${VERSION}`);
}

function versionOf(database: Database): number | undefined {
  return database.query<{ user_version: number }, []>("PRAGMA user_version").get()?.user_version;
}

function isBroken(error: unknown): boolean {
  return error instanceof SQLiteError && /^SQLITE_(NOTADB|CORRUPT)/.test(error.code ?? "");
}

interface Row {
  readonly path: string;
  /** float32, little-endian. */
  readonly vector: Uint8Array;
}

function toIndex(database: Database): SearchIndex {
  const find = database.query<{ found: number }, [string, string]>(
    "SELECT 1 AS found FROM pictures WHERE path = ? AND version = ?",
  );
  const put = database.query("INSERT OR REPLACE INTO pictures VALUES (?, ?, ?)");
  const paths = database.query<{ path: string }, []>("SELECT path FROM pictures");
  const forget = database.query("DELETE FROM pictures WHERE path = ?");
  const all = database.query<Row, []>("SELECT path, vector FROM pictures ORDER BY path");
  return {
    has: (path, version) => find.get(path, version) !== null,
    put: (path, version, vector) => {
      put.run(path, version, new Uint8Array(vector.buffer, vector.byteOffset, vector.byteLength));
    },
    keepOnly: (kept) => {
      const gone = paths.all().filter(({ path }) => !kept.has(path));
      database.transaction(() => {
        for (const { path } of gone) forget.run(path);
      })();
      // Until then the write-ahead log holds earlier pages.
      database.run("PRAGMA wal_checkpoint(TRUNCATE)");
    },
    best: (query, count) => {
      const best: Match[] = [];
      for (const { path, vector } of all.iterate()) {
        insertMatch(best, { path, cosine: cosineSimilarity(query, toFloats(vector)) }, count);
      }
      return best;
    },
    [Symbol.dispose]: () => database.close(),
  };
}

/** Puts a match into its place among the best so far; of equals the first stays in front. */
function insertMatch(best: Match[], match: Match, count: number): void {
  const worse = best.findIndex(({ cosine }) => cosine < match.cosine);
  best.splice(worse === -1 ? best.length : worse, 0, match);
  best.length = Math.min(best.length, count);
}

/** A copy, since SQLite's bytes may begin anywhere in their buffer. */
function toFloats(bytes: Uint8Array): Float32Array {
  return new Float32Array(bytes.slice().buffer);
}
