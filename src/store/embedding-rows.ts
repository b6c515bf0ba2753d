/** The vectors in the file of the embedding cache: found, put in, and deleted where they are too many. */
import type { Database } from "bun:sqlite";
import type { NewEmbedding } from "../backends/protocol.ts";
import type { ImageFormat } from "../image/signature.ts";
import { pragma } from "./pragma.ts";

/** A vector of the cache. */
export interface FoundEmbedding extends Omit<NewEmbedding, "fingerprint"> {
  /** The row that holds it. */
  readonly row: number;
  /** Hours since 1970 at its last use, as far as the row knows. */
  readonly usedHour: number;
}

/** Looks one vector up; nothing where there is none, or none that is whole. */
export type FindEmbedding = (sha256: string, fingerprint: string) => FoundEmbedding | undefined;

/** What has made vectors. */
export interface Maker {
  readonly id: number;
  readonly model: string;
}

interface Row {
  readonly id: number;
  readonly used: number;
  readonly format: ImageFormat;
  readonly width: number;
  readonly height: number;
  readonly checksum: number;
  /** float32, little-endian. */
  readonly vector: Uint8Array;
}

/**
 * Makes the look-up.
 *
 * @param makers by their fingerprints, those that were looked up: to be cleared whenever somebody has written to the
 *   file. Without it they are looked up each time.
 * @throws SQLiteError, later on too.
 */
export function createFind(database: Database, makers?: Map<string, Maker>): FindEmbedding {
  // Two queries: joined to one they take twice as long, and of the makers there is one a model.
  const findMaker = database.query<Maker, [string]>(
    "SELECT id, model FROM makers WHERE fingerprint = ?",
  );
  const findVector = database.query<Row, [Uint8Array, number]>(
    `SELECT id, used, format, width, height, checksum, vector FROM vectors
     WHERE image = ? AND maker = ?`,
  );
  return (sha256, fingerprint) => {
    const maker = makers?.get(fingerprint) ?? findMaker.get(fingerprint);
    if (maker === null) return undefined;
    makers?.set(fingerprint, maker);
    const image = Uint8Array.fromHex(sha256);
    const found = findVector.get(image, maker.id);
    if (found === null || checksumOf(image, found.vector) !== found.checksum) return undefined;
    const { id, used, format, width, height, vector } = found;
    // A copy, since SQLite's bytes may begin anywhere in their buffer.
    const floats = new Float32Array(vector.slice().buffer);
    const facts = { sha256, format, width, height };
    return { row: id, usedHour: used, facts, model: maker.model, vector: floats };
  };
}

/** What is written at once. */
interface Written {
  readonly embeddings: readonly NewEmbedding[];
  /** Rows that were used. */
  readonly used: readonly number[];
  /** Hours since 1970. */
  readonly nowHour: number;
}

/** Vectors of one transaction: few, so that the write-ahead log stays small. */
const perTransaction = 8;
/** Rows that are deleted at once to make room. */
const perEviction = 32;
/** Beside the vector itself, and what its three entries may waste. */
const rowBytes = 256;
/** Pages that one transaction may need beside the vectors' own: those of indices that split. */
const sparePages = 8;

/**
 * Puts vectors in, and first deletes those that were not used for longest until there is room.
 *
 * @throws SQLiteError; `SQLITE_FULL` where the disk is.
 */
export function writeEmbeddings(database: Database, written: Written): void {
  const { embeddings, used, nowHour } = written;
  const use = database.query<unknown, [number, number]>("UPDATE vectors SET used = ? WHERE id = ?");
  const put = createPut(database, nowHour);
  if (used.length > 0) {
    database
      .transaction(() => {
        for (const row of used) use.run(nowHour, row);
      })
      .immediate();
  }
  for (let at = 0; at < embeddings.length; at += perTransaction) {
    const some = embeddings.slice(at, at + perTransaction);
    database
      .transaction(() => {
        makeRoom(database, some);
        for (const one of some) put(one);
      })
      .immediate();
  }
}

function createPut(database: Database, nowHour: number): (embedding: NewEmbedding) => void {
  // A maker that calls itself otherwise than before is another one: what the old one made is found no more.
  const putMaker = database.query<{ id: number }, [string, string]>(
    `INSERT INTO makers (fingerprint, model) VALUES (?, ?) ON CONFLICT (fingerprint) DO UPDATE
     SET id = CASE model WHEN excluded.model THEN id ELSE (SELECT max(id) + 1 FROM makers) END,
       model = excluded.model
     RETURNING id`,
  );
  const put = database.query<
    unknown,
    [Uint8Array, number, number, string, number, number, number, Uint8Array]
  >(
    `INSERT OR REPLACE INTO vectors (image, maker, used, format, width, height, checksum, vector)
     VALUES (?, ?, ?, ?, ?, ?, ?, ?)`,
  );
  return ({ facts, fingerprint, model, vector }) => {
    const maker = putMaker.get(fingerprint, model);
    if (maker === null) throw new Error("a maker without a row");
    const { sha256, format, width, height } = facts;
    const image = Uint8Array.fromHex(sha256);
    const bytes = new Uint8Array(vector.buffer, vector.byteOffset, vector.byteLength);
    const checksum = checksumOf(image, bytes);
    put.run(image, maker.id, nowHour, format, width, height, checksum, bytes);
  };
}

/** Deletes what was not used for longest, as long as the file has too little room. */
function makeRoom(database: Database, embeddings: readonly NewEmbedding[]): void {
  const bytes = embeddings.reduce((sum, { vector }) => sum + vector.byteLength + rowBytes, 0);
  const { pageSize, maxPages } = boundsOf(database);
  const needed = Math.ceil((1.5 * bytes) / pageSize) + sparePages;
  const evict = database.query(
    "DELETE FROM vectors WHERE id IN (SELECT id FROM vectors ORDER BY used, id LIMIT ?)",
  );
  while (maxPages - usedPages(database) < needed) {
    if (evict.run(perEviction).changes === 0) return;
  }
}

function boundsOf(database: Database) {
  const pageSize = pragma(database, "page_size");
  return { pageSize, maxPages: pragma(database, "max_page_count") };
}

function usedPages(database: Database): number {
  return pragma(database, "page_count") - pragma(database, "freelist_count");
}

/**
 * Deletes every vector of an image, and overwrites it where it was.
 *
 * @returns how many there were, and whether none of their bytes are left: the write-ahead log keeps some as long
 *   as another process reads or writes.
 * @throws SQLiteError.
 */
export function forgetImage(
  database: Database,
  sha256: string,
): { readonly vectors: number; readonly isErased: boolean } {
  database.run("PRAGMA secure_delete = ON");
  const { changes } = database
    .query<unknown, [Uint8Array]>("DELETE FROM vectors WHERE image = ?")
    .run(Uint8Array.fromHex(sha256));
  // Until then the old page stays in the file, and the write-ahead log has others of it.
  return { vectors: changes, isErased: pragma(database, "wal_checkpoint(TRUNCATE)") === 0 };
}

/** Of a vector and of the image that it belongs to. */
function checksumOf(image: Uint8Array, vector: Uint8Array): number {
  return Bun.hash.crc32(vector, Bun.hash.crc32(image));
}
