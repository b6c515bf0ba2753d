/** Lines of `imagesvc embed`, for any source and any vector. */
import { expect, test } from "bun:test";
import fc from "fast-check";
import {
  type EmbeddedRecord,
  readJournalLine,
  readLine,
  toJournalLine,
  toLine,
} from "../../src/cli/embed-record.ts";

/** Also what looks like the end of a record, and half a surrogate pair. */
const names = fc.oneof(
  fc.string({ unit: "binary" }),
  fc.constantFrom('a","vector":"b', '","vector":[1]}\n', "\ud800", "\u2028", "x\\"),
);

const records: fc.Arbitrary<EmbeddedRecord> = fc
  .record(
    {
      source: names,
      text: names,
      model: names,
      sha256: fc.stringMatching(/^[0-9a-f]{64}$/),
      truncated: fc.boolean(),
      normalized: fc.constant(true as const),
      vector: fc.float32Array({ noNaN: true, noDefaultInfinity: true, maxLength: 40 }),
    },
    { requiredKeys: ["source", "model", "vector"] },
  )
  .map((record) => ({ ...record, dimensions: record.vector.length }));

function textOf(line: Uint8Array): string {
  return new TextDecoder().decode(line);
}

test("a line of the output is JSON with every number as it was", () => {
  fc.assert(
    fc.property(records, (record) => {
      const line = textOf(toLine(record));
      expect(line.indexOf("\n")).toBe(line.length - 1);
      const { vector, ...head } = record;
      const read = JSON.parse(line);
      // -0 is 0 in JSON.
      expect(Float32Array.from(read.vector)).toEqual(vector.map((value) => value + 0));
      expect({ ...read, vector: undefined }).toEqual({
        ...JSON.parse(JSON.stringify(head)),
        vector: undefined,
      });
      expect(readLine(line.slice(0, -1))).toEqual({ head: JSON.parse(JSON.stringify(head)) });
    }),
  );
});

test("a line of a journal gives the record back, bit for bit", () => {
  fc.assert(
    fc.property(records, (record) => {
      const line = textOf(toJournalLine(record));
      expect(line.indexOf("\n")).toBe(line.length - 1);
      const read = readJournalLine(line.slice(0, -1));
      expect(read?.vector).toEqual(record.vector);
      expect(read).toEqual({ ...JSON.parse(JSON.stringify(record)), vector: record.vector });
    }),
  );
});

test("a part of a journal's line is none", () => {
  fc.assert(
    fc.property(
      records,
      fc.double({ min: 0, max: 1, maxExcluded: true, noNaN: true }),
      (record, part) => {
        const line = textOf(toJournalLine(record)).slice(0, -1);
        expect(readJournalLine(line.slice(0, Math.floor(part * line.length)))).toBeUndefined();
      },
    ),
  );
});

test("whatever else a line holds, reading it throws nothing", () => {
  fc.assert(
    fc.property(fc.oneof(fc.json(), fc.string(), records.map(toLine).map(textOf)), (line) => {
      readLine(line);
      readJournalLine(line);
    }),
  );
});
