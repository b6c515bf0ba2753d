/** The rows of the embedding cache: every vector comes back to the bit, and the file never outgrows its limit. */
import { afterEach, beforeEach, expect, test } from "bun:test";
import { stat } from "node:fs/promises";
import { join } from "node:path";
import fc from "fast-check";
import type { NewEmbedding } from "../../src/backends/protocol.ts";
import type { ImageFormat } from "../../src/image/signature.ts";
import { openToRead, openToWrite } from "../../src/store/embedding-database.ts";
import { createFind, forgetImage, writeEmbeddings } from "../../src/store/embedding-rows.ts";
import { temporaryFolder } from "../support/tiny-clip.ts";

const MIB = 1024 * 1024;
let folder: Awaited<ReturnType<typeof temporaryFolder>>;
let files = 0;

beforeEach(async () => {
  folder = await temporaryFolder();
});
afterEach(() => folder[Symbol.asyncDispose]());

function newFile(maxBytes: number) {
  files += 1;
  const path = join(folder.path, `${files}.sqlite`);
  const database = openToWrite(path, { maxBytes, busyTimeoutMs: 1000 });
  return { path, database };
}

function digestOf(index: number): string {
  return Bun.SHA256.hash(String(index), "hex");
}

function embeddingOf(index: number, dimensions: number): NewEmbedding {
  return {
    facts: { sha256: digestOf(index), format: "jpg", width: 1, height: 1 },
    fingerprint: `of ${dimensions}`,
    model: "m",
    vector: new Float32Array(dimensions).fill(index + 0.5),
  };
}

const formats: readonly ImageFormat[] = ["jpg", "png", "webp", "gif", "avif", "tif"];
const anyEmbedding: fc.Arbitrary<NewEmbedding> = fc.record({
  facts: fc.record({
    sha256: fc.stringMatching(/^[0-9a-f]{64}$/),
    format: fc.constantFrom(...formats),
    width: fc.integer({ min: 1, max: 1_000_000 }),
    height: fc.integer({ min: 1, max: 1_000_000 }),
  }),
  fingerprint: fc.string(),
  model: fc.string(),
  vector: fc.float32Array({ minLength: 1, maxLength: 3000, noNaN: true }),
});

test("a vector comes back as it was put in", () => {
  const { database } = newFile(64 * MIB);
  const find = createFind(database);
  fc.assert(
    fc.property(anyEmbedding, (embedding) => {
      writeEmbeddings(database, { embeddings: [embedding], used: [], nowHour: 5 });
      const { fingerprint, ...rest } = embedding;
      const found = find(embedding.facts.sha256, fingerprint);
      expect(found).toMatchObject({ ...rest, usedHour: 5 });
      expect(bitsOf(found?.vector)).toEqual(bitsOf(embedding.vector));
    }),
    { numRuns: 200 },
  );
  database.close();
});

function bitsOf(vector: Float32Array | undefined): readonly number[] {
  return [...new Uint32Array(new Float32Array(vector ?? []).buffer)];
}

test("the file and its log stay below the limit, and take in what comes last", async () => {
  const batches = fc.array(
    fc.record({
      dimensions: fc.constantFrom(512, 768, 1536),
      count: fc.integer({ min: 1, max: 64 }),
      hours: fc.integer({ min: 0, max: 2 }),
    }),
    { minLength: 20, maxLength: 40 },
  );
  await fc.assert(
    fc.asyncProperty(fc.integer({ min: 4, max: 6 }), batches, async (mebibytes, all) => {
      const { path, database } = newFile(mebibytes * MIB);
      // As in a service, where another connection reads.
      const reader = openToRead(path);
      let [index, nowHour] = [0, 0];
      for (const { dimensions, count, hours } of all) {
        nowHour += hours;
        const embeddings = Array.from({ length: count }, () => embeddingOf(index++, dimensions));
        writeEmbeddings(database, { embeddings, used: [], nowHour });
        const bytes = (await stat(path)).size + (await stat(`${path}-wal`)).size;
        expect(bytes).toBeLessThanOrEqual(mebibytes * MIB);
        const newest = createFind(reader)(digestOf(index - 1), `of ${dimensions}`);
        expect(newest?.vector[0]).toBe(index - 0.5);
      }
      reader.close();
      database.close();
    }),
    { numRuns: 8 },
  );
});

test("what was not used for longest goes first, and little more than must", () => {
  const { database } = newFile(4 * MIB);
  const find = createFind(database);
  const put = (from: number, to: number, nowHour: number) => {
    for (let index = from; index < to; index += 1) {
      writeEmbeddings(database, { embeddings: [embeddingOf(index, 512)], used: [], nowHour });
    }
  };
  const isThere = (index: number) => find(digestOf(index), "of 512") !== undefined;
  put(0, 500, 1);
  const usedAgain = [3, 77, 200].flatMap((index) => find(digestOf(index), "of 512")?.row ?? []);
  writeEmbeddings(database, { embeddings: [], used: usedAgain, nowHour: 9 });
  put(500, 2000, 5);
  expect([3, 77, 200].map(isThere)).toEqual([true, true, true]);
  expect([0, 4, 201, 499].map(isThere)).toEqual([false, false, false, false]);
  expect(isThere(1999)).toBe(true);
  const kept = Array.from({ length: 2000 }, (_, index) => index).filter(isThere).length;
  // 2 kB each in 3 MiB.
  expect(kept).toBeGreaterThan(1000);
  database.close();
});

test("a forgotten image is gone from the bytes of the file too", async () => {
  const { path, database } = newFile(16 * MIB);
  const secret = new Float32Array(new TextEncoder().encode("secret! ".repeat(40)).buffer);
  writeEmbeddings(database, {
    embeddings: [
      { ...embeddingOf(1, 80), vector: secret },
      { ...embeddingOf(1, 80), vector: secret, fingerprint: "another" },
      embeddingOf(2, 512),
    ],
    used: [],
    nowHour: 1,
  });
  expect(forgetImage(database, digestOf(1))).toEqual({ vectors: 2, isErased: true });
  expect(forgetImage(database, digestOf(1)).vectors).toBe(0);
  expect(createFind(database)(digestOf(2), "of 512")).toBeDefined();
  for (const name of [path, `${path}-wal`]) {
    expect(await Bun.file(name).text()).not.toContain("secret!");
  }
  database.close();
});
