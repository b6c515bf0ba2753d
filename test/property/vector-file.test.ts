/** Files of vectors, read back by other programs' rules. */
import { expect, test } from "bun:test";
import { readdir, readFile } from "node:fs/promises";
import { join } from "node:path";
import fc from "fast-check";
import { asyncBufferFromFile, parquetReadObjects } from "hyparquet";
import { type VectorRow, writeNpy, writeParquet } from "../../src/store/vector-file.ts";
import { npyHeader } from "../../src/vector/npy.ts";
import { temporaryFolder } from "../support/tiny-clip.ts";

/** Reads a header by the words of NumPy's format. */
function readHeader(bytes: Uint8Array) {
  expect(Buffer.from(bytes.subarray(0, 8))).toEqual(Buffer.from("\x93NUMPY\x01\x00", "latin1"));
  const length = new DataView(bytes.buffer, bytes.byteOffset).getUint16(8, true);
  expect((10 + length) % 64).toBe(0);
  const text = Buffer.from(bytes.subarray(10, 10 + length)).toString("latin1");
  const [, rows, dimensions] =
    /^\{'descr': '<f4', 'fortran_order': False, 'shape': \((\d+), (\d+)\), \} *\n$/.exec(text) ??
    [];
  return { rows: Number(rows), dimensions: Number(dimensions), bytes: 10 + length };
}

test("a .npy header says any shape in the same number of bytes", () => {
  fc.assert(
    fc.property(fc.maxSafeNat(), fc.nat(), (rows, dimensions) => {
      const header = npyHeader([rows, dimensions]);
      expect(readHeader(header)).toEqual({ rows, dimensions, bytes: 128 });
      expect(header).toHaveLength(128);
    }),
  );
});

/** Tables whose vectors are of one length. */
function tables(kind: "images" | "texts"): fc.Arbitrary<VectorRow[]> {
  const name = fc.string({ unit: "grapheme" });
  return fc.integer({ min: 1, max: 20 }).chain((length) => {
    const numbers = { noNaN: true, noDefaultInfinity: true, minLength: length, maxLength: length };
    const row = { source: name, model: name, vector: fc.float32Array(numbers) };
    const sha256 = fc.stringMatching(/^[0-9a-f]{64}$/);
    return fc.array<VectorRow>(
      kind === "texts"
        ? fc.record({ ...row, text: name })
        : fc.record({ ...row, sha256 }, { requiredKeys: ["source", "model", "vector"] }),
    );
  });
}

async function* stream<T>(things: readonly T[]): AsyncGenerator<T> {
  yield* things;
}

test("a .npy file has the vectors, and the lines beside it the rest, row by row", async () => {
  await using folder = await temporaryFolder();
  const path = join(folder.path, "x.npy");
  await fc.assert(
    fc.asyncProperty(tables("images"), async (rows) => {
      expect(await writeNpy(path, stream(rows))).toBe(rows.length);
      const bytes = await readFile(path);
      const { rows: count, dimensions, bytes: start } = readHeader(new Uint8Array(bytes));
      expect([count, dimensions]).toEqual([rows.length, rows[0]?.vector.length ?? 0]);
      const expected = Buffer.concat(rows.map(({ vector }) => new Uint8Array(vector.buffer)));
      expect(bytes.subarray(start).equals(expected)).toBe(true);
      const lines = (await Bun.file(join(folder.path, "x.ids.jsonl")).text()).split("\n");
      expect(lines.pop()).toBe("");
      expect(lines.map((line) => JSON.parse(line))).toEqual(
        rows.map(({ vector: _, ...rest }) => rest),
      );
    }),
    { numRuns: 40 },
  );
  expect((await readdir(folder.path)).sort()).toEqual(["x.ids.jsonl", "x.npy"]);
});

test.each(["images", "texts"] as const)(
  "a Parquet file of %s gives every column back",
  async (kind) => {
    await using folder = await temporaryFolder();
    const path = join(folder.path, "x.parquet");
    await fc.assert(
      fc.asyncProperty(tables(kind), async (rows) => {
        expect(await writeParquet(path, stream(rows), kind)).toBe(rows.length);
        const read = await parquetReadObjects({ file: await asyncBufferFromFile(path) });
        const own = ({ text, sha256 }: VectorRow) => (kind === "texts" ? { text } : { sha256 });
        const expected = rows.map((row) => ({
          source: row.source,
          ...own(row),
          model: row.model,
          vector: Array.from(row.vector),
        }));
        expect(JSON.stringify(read.map(inOrder))).toBe(JSON.stringify(expected.map(inOrder)));
      }),
      { numRuns: 40 },
    );
  },
);

function inOrder(row: Readonly<Record<string, unknown>>) {
  return Object.entries(row)
    .map(([name, value]) => [name, value ?? null] as const)
    .sort(([a], [b]) => (a < b ? -1 : 1));
}

test("a Parquet file of many rows has several groups of them", async () => {
  await using folder = await temporaryFolder();
  const path = join(folder.path, "x.parquet");
  const rows = Array.from({ length: 3000 }, (_, at) => ({
    source: `${at}.jpg`,
    model: "m",
    vector: Float32Array.of(at, -at),
  }));
  await writeParquet(path, stream(rows), "images");
  const read = await parquetReadObjects({ file: await asyncBufferFromFile(path) });
  expect(read.map(({ vector }) => vector)).toEqual(rows.map(({ vector }) => [...vector]));
});

test("vectors of two lengths are refused, and the file that was there stays", async () => {
  await using folder = await temporaryFolder();
  const rows = [2, 3].map((length) => ({
    source: "a",
    model: "m",
    vector: new Float32Array(length),
  }));
  for (const [name, write] of [
    ["x.npy", writeNpy],
    [
      "x.parquet",
      (path: string, some: AsyncIterable<VectorRow>) => writeParquet(path, some, "images"),
    ],
  ] as const) {
    const path = join(folder.path, name);
    await Bun.write(path, "earlier");
    await expect(write(path, stream(rows))).rejects.toThrow("of 2 and of 3 numbers");
    expect(await Bun.file(path).text()).toBe("earlier");
  }
  expect((await readdir(folder.path)).sort()).toEqual(["x.npy", "x.parquet"]);
});
