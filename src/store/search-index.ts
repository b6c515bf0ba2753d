/**
 * The vectors of a folder's pictures, kept from one search to the next: names in SQLite, vectors beside it in a file
 * that a search reads from front to back.
 */
import { Database, SQLiteError } from "bun:sqlite";
import { mkdir, rm } from "node:fs/promises";
import { dirname } from "node:path";
import { cosineSimilarity } from "../vector/similarity.ts";
import { pragma } from "./pragma.ts";
import { openVectorSlots, type VectorSlots } from "./vector-slots.ts";

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
  /**
   * Forgets every picture but these: afterwards neither the index nor its log has their names or vectors. Where the disk
   * is too full for that, or another process writes for long, most of the names are gone, and the next call erases the rest.
   */
  keepOnly(paths: ReadonlySet<string>): void;
  /**
   * The best matches, best first.
   *
   * @param query float32, [dimensions], of the same model.
   */
  best(query: Float32Array, count: number): readonly Match[];
}

/** Goes into every index: to be raised whenever its tables change. Version 2 had the vectors among them. */
const VERSION = 3;

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
  const index = openWhole(path);
  if (index !== undefined) return index;
  onBroken();
  for (const suffix of ["", "-wal", "-shm"]) await rm(`${path}${suffix}`, { force: true });
  await rm(vectorsPath(path), { force: true });
  const made = openWhole(path);
  if (made === undefined) throw new Error("a new search index is broken at once");
  return made;
}

/** Where the vectors of an index are. */
function vectorsPath(path: string): string {
  return path.replace(/\.sqlite$/, ".vectors");
}

/** @returns nothing where the file is no whole index of this version. */
function openWhole(path: string): SearchIndex | undefined {
  using opened = new DisposableStack();
  const database = opened.adopt(new Database(path, { create: true, strict: true }), (one) =>
    one.close(),
  );
  try {
    database.run(`PRAGMA busy_timeout = ${busyTimeoutMs}`);
    database.run("PRAGMA journal_mode = WAL");
    database.run("PRAGMA synchronous = NORMAL");
    // Names tell of pictures: those that are deleted are overwritten.
    database.run("PRAGMA secure_delete = ON");
    // Nor is a copy of all that are left to lie in a folder for temporary files, while pages are written anew.
    database.run("PRAGMA temp_store = MEMORY");
    database.transaction(() => prepare(database)).immediate();
    const [check] = database.query<{ quick_check: string }, []>("PRAGMA quick_check(1)").all();
    if (pragma(database, "user_version") !== VERSION || check?.quick_check !== "ok")
      return undefined;
    const slots = opened.use(openVectorSlots(vectorsPath(path)));
    database.transaction(() => mend(database, slots)).immediate();
    return toIndex(database, slots, opened.move());
  } catch (error) {
    if (!isBroken(error)) throw error;
    return undefined;
  }
}

function prepare(database: Database): void {
  const { tables } = database
    .query<{ tables: number }, []>("SELECT count(*) AS tables FROM sqlite_schema")
    .get() ?? { tables: 0 };
  if (tables === 0) database.run(schema);
}

/** `writers` has those that have written and not ended cleanly. */
const schema = `
  CREATE TABLE pictures (
    path TEXT PRIMARY KEY, version TEXT NOT NULL,
    slot INTEGER NOT NULL UNIQUE, dimensions INTEGER NOT NULL, checksum INTEGER NOT NULL
  ) STRICT;
  CREATE TABLE free (slot INTEGER PRIMARY KEY) STRICT;
  CREATE TABLE writers (id TEXT PRIMARY KEY) STRICT;
  PRAGMA user_version = ${VERSION};`;

function isBroken(error: unknown): boolean {
  return error instanceof SQLiteError && /^SQLITE_(NOTADB|CORRUPT)/.test(error.code ?? "");
}

/**
 * Forgets pictures whose vectors are not those that were written for them. All are looked at where a process has not
 * ended cleanly: one that was killed may have overwritten a vector, and after a power cut names may be on the disk
 * whose vectors are not.
 */
function mend(database: Database, slots: VectorSlots): void {
  const { pictures, dimensions } = database
    .query<{ pictures: number; dimensions: number }, []>(
      "SELECT coalesce(max(slot) + 1, 0) AS pictures, coalesce(max(dimensions), 1) AS dimensions FROM pictures",
    )
    .get() ?? { pictures: 0, dimensions: 1 };
  const isShort = slots.count(dimensions) < pictures;
  if (!isShort && database.query("SELECT 1 FROM writers").get() === null) return;
  const all = database.query<Picture, []>("SELECT * FROM pictures").all();
  const broken = all.filter((one) => vectorOf(slots, one) === undefined);
  for (const picture of broken) {
    database.query("DELETE FROM pictures WHERE path = ?").run(picture.path);
    database.query("INSERT OR IGNORE INTO free VALUES (?)").run(picture.slot);
  }
  if (broken.length > 0) noteCopies(database, true);
  database.run("DELETE FROM writers");
}

/**
 * Notes in the file whether it may have copies of what was deleted: SQLite overwrites a row, but not what it left on the
 * page from which it had moved that row to another.
 */
function noteCopies(database: Database, mayBe: boolean): void {
  database.run(`PRAGMA application_id = ${Number(mayBe)}`);
}

/** Writes all pages anew, where there may be such copies. */
function eraseCopies(database: Database): void {
  if (pragma(database, "application_id") === 0) return;
  try {
    database.run("VACUUM");
    noteCopies(database, false);
  } catch (error) {
    // What was searched for can be found all the same.
    if (!(error instanceof SQLiteError) || isBroken(error)) throw error;
  }
}

/** A row. */
interface Picture {
  readonly path: string;
  readonly slot: number;
  readonly dimensions: number;
  readonly checksum: number;
}

/** @returns nothing where the vector is not the one that was written. */
function vectorOf(slots: VectorSlots, { slot, dimensions, checksum }: Picture) {
  const vector = slots.read(slot, dimensions);
  return vector !== undefined && checksumOf(vector) === checksum ? vector : undefined;
}

function checksumOf(vector: Float32Array): number {
  return Bun.hash.crc32(new Uint8Array(vector.buffer, vector.byteOffset, vector.byteLength));
}

function toIndex(database: Database, slots: VectorSlots, opened: DisposableStack): SearchIndex {
  const find = database.query<{ found: number }, [string, string]>(
    "SELECT 1 AS found FROM pictures WHERE path = ? AND version = ?",
  );
  const atSlot = database.query<Picture, [number]>("SELECT * FROM pictures WHERE slot = ?");
  const writer = createWriter(database, slots);
  return {
    has: (path, version) => find.get(path, version) !== null,
    put: writer.put,
    keepOnly: writer.keepOnly,
    best: (query, count) => {
      const matches: Match[] = [];
      for (const slot of slots.nearest(query, count)) {
        const picture = atSlot.get(slot);
        // Another process may be at it.
        const vector = picture === null ? undefined : vectorOf(slots, picture);
        if (picture === null || vector === undefined) continue;
        matches.push({ path: picture.path, cosine: cosineSimilarity(query, vector) });
      }
      return matches.sort(byFit).slice(0, count);
    },
    [Symbol.dispose]: () => {
      writer.end();
      opened.dispose();
    },
  };
}

/** Best first; of equals in the order of their names. */
function byFit(a: Match, b: Match): number {
  return b.cosine - a.cosine || (a.path < b.path ? -1 : 1);
}

/** What changes an index. Each change is one transaction, so that two processes never take the same slot. */
function createWriter(database: Database, slots: VectorSlots) {
  const id = crypto.randomUUID();
  let hasWritten = false;
  const note = database.query("INSERT OR IGNORE INTO writers VALUES (?)");
  const slotOf = database.query<Picture, [string]>("SELECT * FROM pictures WHERE path = ?");
  const any = database.query<{ dimensions: number }, []>("SELECT dimensions FROM pictures LIMIT 1");
  const unused = database.query<{ slot: number }, []>(
    "SELECT coalesce((SELECT min(slot) FROM free), (SELECT max(slot) + 1 FROM pictures), 0) AS slot",
  );
  const take = database.query("DELETE FROM free WHERE slot = ?");
  const insert = database.query(
    "INSERT OR REPLACE INTO pictures (path, version, slot, dimensions, checksum) VALUES (?, ?, ?, ?, ?)",
  );
  const all = database.query<Picture, []>("SELECT * FROM pictures");
  const forget = database.query("DELETE FROM pictures WHERE path = ?");
  const release = database.query("INSERT INTO free VALUES (?)");

  function write(change: () => void): void {
    hasWritten = true;
    // Before the change, and again where another process has found all in order meanwhile.
    note.run(id);
    database.transaction(change).immediate();
  }

  /** Gives back what lies free at the end. */
  function shorten(dimensions: number): void {
    const { used } = database
      .query<{ used: number }, []>("SELECT coalesce(max(slot) + 1, 0) AS used FROM pictures")
      .get() ?? { used: 0 };
    database.query("DELETE FROM free WHERE slot >= ?").run(used);
    slots.truncate(used, dimensions);
  }

  return {
    put: (path: string, version: string, vector: Float32Array) =>
      write(() => {
        const { dimensions = vector.length } = any.get() ?? {};
        if (dimensions !== vector.length) throw new RangeError("a vector of another model");
        const slot = slotOf.get(path)?.slot ?? unused.get()?.slot ?? 0;
        slots.write(slot, vector);
        take.run(slot);
        insert.run(path, version, slot, vector.length, checksumOf(vector));
      }),
    keepOnly: (kept: ReadonlySet<string>) => {
      const gone = all.all().filter(({ path }) => !kept.has(path));
      const [first] = gone;
      if (first !== undefined) {
        write(() => {
          for (const { path, slot, dimensions } of gone) {
            forget.run(path);
            release.run(slot);
            slots.clear(slot, dimensions);
          }
          shorten(first.dimensions);
          noteCopies(database, true);
        });
      }
      eraseCopies(database);
      // Until then the write-ahead log holds earlier pages.
      database.run("PRAGMA wal_checkpoint(TRUNCATE)");
    },
    /** Notes that all is on the disk. */
    end: () => {
      if (!hasWritten) return;
      slots.sync();
      database.query("DELETE FROM writers WHERE id = ?").run(id);
    },
  };
}
