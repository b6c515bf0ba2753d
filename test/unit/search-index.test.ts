import { Database } from "bun:sqlite";
import { afterEach, beforeEach, expect, test } from "bun:test";
import { mkdtemp, readdir, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import fc from "fast-check";
import { openSearchIndex } from "../../src/store/search-index.ts";
import { cosineSimilarity } from "../../src/vector/similarity.ts";

let folder: string;
let path: string;

beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), "imagesvc-index-"));
  path = join(folder, "search", "index.sqlite");
});
afterEach(() => rm(folder, { recursive: true }));

/** Opens the index, and counts how often it was found broken. */
async function open() {
  let broken = 0;
  const index = await openSearchIndex(path, () => {
    broken += 1;
  });
  return { index, broken };
}

const east = new Float32Array([2, 0]);
const north = new Float32Array([0, 3]);
const northEast = new Float32Array([5, 5]);

test("what was put is there for the next search, in the order of its fit", async () => {
  {
    using index = (await open()).index;
    index.put("east.jpg", "1", east);
    index.put("north.jpg", "1", north);
    index.put("north-east.jpg", "1", northEast);
  }
  const { index, broken } = await open();
  using again = index;
  expect(broken).toBe(0);
  const matches = again.best(new Float32Array([9, 0]), 2);
  expect(matches.map((one) => one.path)).toEqual(["east.jpg", "north-east.jpg"]);
  expect(matches[0]?.cosine).toBeCloseTo(1, 10);
  expect(matches[1]?.cosine).toBeCloseTo(Math.SQRT1_2, 10);
});

test("a picture is known by its version, and the newest counts", async () => {
  using index = (await open()).index;
  index.put("a.jpg", "1", east);
  expect([index.has("a.jpg", "1"), index.has("a.jpg", "2"), index.has("b.jpg", "1")]).toEqual([
    true,
    false,
    false,
  ]);
  index.put("a.jpg", "2", north);
  expect(index.has("a.jpg", "1")).toBe(false);
  expect(index.best(north, 9)).toEqual([{ path: "a.jpg", cosine: 1 }]);
});

test("what is gone is forgotten", async () => {
  using index = (await open()).index;
  for (const name of ["a", "b", "c"]) index.put(name, "1", east);
  index.keepOnly(new Set(["b", "never seen"]));
  expect(index.best(east, 9).map((one) => one.path)).toEqual(["b"]);
});

test("two searches at once share one index", async () => {
  using one = (await open()).index;
  using other = (await open()).index;
  one.put("a", "1", east);
  other.put("b", "1", north);
  expect(one.has("b", "1") && other.has("a", "1")).toBe(true);
  one.keepOnly(new Set(["a"]));
  other.put("c", "1", northEast);
  expect([other.has("a", "1"), other.has("b", "1"), one.has("c", "1")]).toEqual([
    true,
    false,
    true,
  ]);
});

/** Bytes of every file in the index's folder. */
async function everyByte(): Promise<Buffer> {
  const inside = join(folder, "search");
  const names = await readdir(inside);
  return Buffer.concat(
    await Promise.all(
      names.map(async (name) => Buffer.from(await Bun.file(join(inside, name)).bytes())),
    ),
  );
}

function randomVector(): Float32Array {
  return new Float32Array(crypto.getRandomValues(new Uint8Array(2048)).buffer);
}

test("the name and the vector of a picture that is gone, or has changed, are in no file any more", async () => {
  const pictures = Array.from({ length: 300 }, (_, at) => ({
    name: `holiday-${at}-${crypto.randomUUID()}.jpg`,
    vector: randomVector(),
  }));
  using index = (await open()).index;
  for (const { name, vector } of pictures) index.put(name, "1", vector);
  index.keepOnly(new Set(pictures.map(({ name }) => name)));
  const isChanged = (at: number) => at % 7 === 0;
  for (const [, { name }] of pictures.entries().filter(([at]) => isChanged(at))) {
    index.put(name, "2", randomVector());
  }
  const kept = new Set(
    pictures.filter((_, at) => isChanged(at) || at % 3 === 0).map(({ name }) => name),
  );
  index.keepOnly(kept);
  const bytes = await everyByte();
  for (const [at, { name, vector }] of pictures.entries()) {
    const isGone = !kept.has(name);
    expect(bytes.includes(name)).toBe(!isGone);
    // A vector is long enough to lie on two pages.
    const middle = Buffer.from(vector.buffer, 512, 64);
    expect(bytes.includes(middle)).toBe(!isGone && !isChanged(at));
  }
});

/** 300 names of one length or nearly, so that SQLite moves rows from page to page, and every third of them. */
function makeNames() {
  const names = Array.from({ length: 300 }, (_, at) => `holiday-${at}-${crypto.randomUUID()}.jpg`);
  return { names, kept: names.filter((_, at) => at % 3 === 0) };
}

/** Those of which most is in a file. */
async function thoseLeft(names: readonly string[]): Promise<readonly string[]> {
  const bytes = await everyByte();
  return names.filter((name) => bytes.includes(name.slice(0, 40)));
}

test("no page keeps a copy of a name that is gone, not even of most of it", async () => {
  const { names, kept } = makeNames();
  using index = (await open()).index;
  for (const name of names) index.put(name, "1", east);
  index.keepOnly(new Set(kept));
  expect(await thoseLeft(names)).toEqual(kept);
});

test("copies that a process left which was killed are erased by the next that looks", async () => {
  const { names, kept } = makeNames();
  using index = (await open()).index;
  for (const name of names) index.put(name, "1", east);
  {
    using killed = new Database(path);
    killed.run("PRAGMA secure_delete = ON");
    const forget = killed.query("DELETE FROM pictures WHERE path = ?");
    killed.transaction(() => {
      for (const name of names) if (!kept.includes(name)) forget.run(name);
      killed.run("PRAGMA application_id = 1");
    })();
    killed.run("PRAGMA wal_checkpoint(TRUNCATE)");
  }
  expect((await thoseLeft(names)).length).toBeGreaterThan(kept.length);
  index.keepOnly(new Set(kept));
  expect(await thoseLeft(names)).toEqual(kept);
});

test("a search finds the same as comparing one by one, whatever was put, changed and forgotten", async () => {
  const names = fc.constantFrom(...Array.from({ length: 12 }, (_, at) => `${at}.jpg`));
  const vectors = fc
    .array(fc.integer({ min: -9, max: 9 }), { minLength: 5, maxLength: 5 })
    .filter((numbers) => numbers.some((number) => number !== 0))
    .map((numbers) => Float32Array.from(numbers));
  const puts = fc.record({ kind: fc.constant("put" as const), name: names, vector: vectors });
  const forgets = fc.record({ kind: fc.constant("keep" as const), kept: fc.uniqueArray(names) });
  let at = 0;
  await fc.assert(
    fc.asyncProperty(fc.array(fc.oneof(puts, puts, forgets)), vectors, async (changes, query) => {
      at += 1;
      const known = new Map<string, Float32Array>();
      const file = join(folder, `${at}.sqlite`);
      {
        using index = await openSearchIndex(file, () => {});
        for (const change of changes) {
          if (change.kind === "put") {
            index.put(change.name, "1", change.vector);
            known.set(change.name, change.vector);
            continue;
          }
          index.keepOnly(new Set(change.kept));
          for (const name of known.keys()) if (!change.kept.includes(name)) known.delete(name);
        }
      }
      using index = await openSearchIndex(file, () => {});
      const expected = [...known]
        .map(([path, vector]) => ({ path, cosine: cosineSimilarity(query, vector) }))
        .sort((a, b) => b.cosine - a.cosine || (a.path < b.path ? -1 : 1));
      expect(index.best(query, 100)).toEqual(expected);
      // Of equals any may be among the first.
      expect(index.best(query, 3).map(({ cosine }) => cosine)).toEqual(
        expected.slice(0, 3).map(({ cosine }) => cosine),
      );
    }),
    { numRuns: 60 },
  );
});

test("a vector that is not the one that was written is forgotten, and the others stay", async () => {
  {
    using index = (await open()).index;
    for (const name of ["a", "b", "c"]) index.put(name, "1", east);
  }
  // As one that was killed in the middle of a change leaves it.
  const vectors = path.replace(".sqlite", ".vectors");
  const bytes = await Bun.file(vectors).bytes();
  await writeFile(vectors, bytes.fill(1, 32, 40));
  using database = new Database(path);
  database.run("INSERT INTO writers VALUES ('somebody')");
  {
    const { index, broken } = await open();
    using mended = index;
    expect(broken).toBe(0);
    expect(["a", "b", "c"].filter((name) => mended.has(name, "1"))).toEqual(["a", "c"]);
    mended.put("d", "1", north);
    expect(mended.best(north, 9).map((one) => one.path)).toEqual(["d", "a", "c"]);
  }
  await writeFile(vectors, bytes.subarray(0, 40));
  using index = (await open()).index;
  expect(["a", "c", "d"].filter((name) => index.has(name, "1"))).toEqual(["a"]);
});

/** Ways in which a file is no index of ours. */
const breakers = {
  "other bytes": () =>
    writeFile(path, "this is not a database, and long enough to be seen as none"),
  "a torn page": async () => {
    const bytes = await Bun.file(path).bytes();
    await writeFile(path, bytes.fill(0xff, 4096));
  },
  "another version": async () => {
    using database = new Database(path);
    database.run("PRAGMA user_version = 1");
  },
  "somebody else's tables": async () => {
    await rm(path);
    using database = new Database(path, { create: true });
    database.run("CREATE TABLE notes (text TEXT)");
  },
} satisfies Record<string, () => Promise<unknown>>;

test.each(Object.entries(breakers))("%s is deleted, and a new index begun", async (_, spoil) => {
  {
    using index = (await open()).index;
    index.put("a", "1", east);
  }
  await spoil();
  const { index, broken } = await open();
  using fresh = index;
  expect(broken).toBe(1);
  expect(fresh.best(east, 9)).toEqual([]);
  fresh.put("a", "1", east);
  expect(fresh.has("a", "1")).toBe(true);
  expect(await readdir(join(folder, "search"))).not.toContain("index.sqlite.broken");
});

test("a folder that cannot be made is an error, and nothing is put aside", async () => {
  await writeFile(join(folder, "search"), "a file");
  await expect(open()).rejects.toThrow();
});
