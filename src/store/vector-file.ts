/** Vectors and what is known of them as a file that others read: written aside, and put in its place whole. */
import { type FileHandle, open, rename, rm } from "node:fs/promises";
import { ByteWriter, ParquetWriter } from "hyparquet-writer";
import { npyHeader, npyHeaderBytes } from "../vector/npy.ts";

/** One row. */
export interface VectorRow {
  readonly source: string;
  readonly text?: string;
  readonly sha256?: string;
  readonly model: string;
  /** float32, [dimensions]; of the same length in every row. */
  readonly vector: Float32Array;
}

/** Bytes that are written at once. */
const blockBytes = 1024 * 1024;
/** Rows of a row group: all of it is in memory while it is written. */
const groupRows = 1024;

/**
 * Writes a `.npy` file, float32 [rows, dimensions], and beside it lines of JSON with everything else: line n belongs
 * to row n.
 *
 * @returns how many rows there are.
 * @throws RangeError where vectors differ in length; Error of the file system. The files are then as before.
 */
export async function writeNpy(path: string, rows: AsyncIterable<VectorRow>): Promise<number> {
  const lines = npyLinesPath(path);
  return await inPlace(lines, async (linesFile) => {
    return await inPlace(path, async (file) => {
      const [vectors, texts] = [blocks(file), blocks(linesFile)];
      // The number of rows is known in the end.
      await vectors.add(new Uint8Array(npyHeaderBytes));
      const shape: [number, number] = [0, 0];
      for await (const { vector, ...rest } of rows) {
        checkLength(vector, shape);
        await vectors.add(bytesOf(vector));
        await texts.add(new TextEncoder().encode(`${JSON.stringify(rest)}\n`));
      }
      await vectors.end();
      await texts.end();
      await file.write(npyHeader(shape), 0, npyHeaderBytes, 0);
      return shape[0];
    });
  });
}

/** Where the lines are that belong to the rows of a `.npy` file. */
function npyLinesPath(path: string): string {
  return path.replace(/\.npy$/, ".ids.jsonl");
}

/**
 * Writes a Parquet file with the columns `source`, `text` (where there is one), `sha256`, `model` and `vector`, a
 * list of FLOAT.
 *
 * @param kind what the rows are of.
 * @returns how many rows there are.
 * @throws RangeError where vectors differ in length; Error of the file system. The file is then as before.
 */
export async function writeParquet(
  path: string,
  rows: AsyncIterable<VectorRow>,
  kind: "images" | "texts",
): Promise<number> {
  return await inPlace(path, async (file) => {
    const bytes = new ByteWriter();
    const flush = async () => {
      await file.appendFile(new Uint8Array(bytes.buffer, 0, bytes.index));
      bytes.index = 0;
    };
    const writer = new ParquetWriter({
      writer: Object.assign(bytes, { flush, finish: flush }),
      schema: schemaOf(kind),
      createdBy: "imagesvc",
    });
    const shape: [number, number] = [0, 0];
    let group: VectorRow[] = [];
    const writeGroup = async () => {
      await writer.write({ columnData: columnsOf(group, kind), rowGroupSize: groupRows });
      group = [];
    };
    for await (const row of rows) {
      checkLength(row.vector, shape);
      group.push(row);
      if (group.length === groupRows) await writeGroup();
    }
    if (group.length > 0) await writeGroup();
    await writer.finish();
    return shape[0];
  });
}

type Schema = ConstructorParameters<typeof ParquetWriter>[0]["schema"];

function schemaOf(kind: "images" | "texts"): Schema {
  const texts =
    kind === "texts" ? [stringOf("text", "REQUIRED")] : [stringOf("sha256", "OPTIONAL")];
  return [
    { name: "root", num_children: 4 },
    stringOf("source", "REQUIRED"),
    ...texts,
    stringOf("model", "REQUIRED"),
    { name: "vector", ...lists, repetition_type: "REQUIRED", num_children: 1 },
    { name: "list", repetition_type: "REPEATED", num_children: 1 },
    { name: "element", type: "FLOAT", repetition_type: "REQUIRED" },
  ];
}

const lists = { converted_type: "LIST", logical_type: { type: "LIST" } } as const;
const strings = { converted_type: "UTF8", logical_type: { type: "STRING" } } as const;

function stringOf(name: string, repetition_type: "REQUIRED" | "OPTIONAL") {
  return { name, type: "BYTE_ARRAY", repetition_type, ...strings } as const;
}

function columnsOf(rows: readonly VectorRow[], kind: "images" | "texts") {
  const own =
    kind === "texts"
      ? { name: "text", data: rows.map(({ text = "" }) => text) }
      : { name: "sha256", data: rows.map(({ sha256 }) => sha256) };
  return [
    { name: "source", data: rows.map(({ source }) => source) },
    own,
    { name: "model", data: rows.map(({ model }) => model) },
    // Vectors do not compress, and no two are the same.
    {
      name: "vector",
      data: rows.map(({ vector }) => Array.from(vector)),
      encoding: "PLAIN" as const,
      codec: "UNCOMPRESSED" as const,
      statistics: false,
    },
  ];
}

function checkLength(vector: Float32Array, shape: [number, number]): void {
  if (shape[0] === 0) shape[1] = vector.length;
  if (shape[1] !== vector.length) {
    throw new RangeError(`vectors of ${shape[1]} and of ${vector.length} numbers make no table`);
  }
  shape[0] += 1;
}

function bytesOf(vector: Float32Array): Uint8Array {
  return new Uint8Array(vector.buffer, vector.byteOffset, vector.byteLength);
}

/** Collects bytes, and writes many at once. */
function blocks(file: FileHandle) {
  let held: Uint8Array[] = [];
  let size = 0;
  const end = async () => {
    const block = Buffer.concat(held, size);
    held = [];
    size = 0;
    await file.appendFile(block);
  };
  const add = async (bytes: Uint8Array) => {
    held.push(bytes);
    size += bytes.byteLength;
    if (size >= blockBytes) await end();
  };
  return { add, end };
}

/** Has a file written under another name, synced, and then given its own: it is never seen half-written. */
async function inPlace<T>(path: string, write: (file: FileHandle) => Promise<T>): Promise<T> {
  const aside = `${path}.tmp`;
  try {
    const file = await open(aside, "w", 0o666);
    let result: T;
    try {
      result = await write(file);
      await file.sync();
    } finally {
      await file.close();
    }
    await rename(aside, path);
    return result;
  } catch (error) {
    await rm(aside, { force: true });
    throw error;
  }
}
