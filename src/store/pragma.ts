import type { Database } from "bun:sqlite";

/**
 * What a database says to a PRAGMA that answers with a number.
 *
 * @param name such as `page_count`, or `wal_checkpoint(TRUNCATE)`.
 * @throws SQLiteError; Error where the answer is no number.
 */
export function pragma(database: Database, name: string): number {
  const [value] = database.query<number[], []>(`PRAGMA ${name}`).values()[0] ?? [];
  if (typeof value !== "number") throw new Error(`SQLite does not tell its ${name}`);
  return value;
}
