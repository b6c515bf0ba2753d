/** The embedding cache on real files: what is found again, and what becomes of files that are no good. */
import { Database } from "bun:sqlite";
import { afterEach, beforeEach, describe, expect, test } from "bun:test";
import { readdir, readFile, rename, rm, stat, writeFile } from "node:fs/promises";
import { join } from "node:path";
import type { NewEmbedding } from "../../src/backends/protocol.ts";
import { limits } from "../../src/limits.ts";
import { workerFiles } from "../../src/native/worker-files.ts";
import { createEmbeddingCache, type EmbeddingCache } from "../../src/store/embedding-cache.ts";
import { openToRead } from "../../src/store/embedding-database.ts";
import { until } from "../support/client.ts";
import { temporaryFolder } from "../support/tiny-clip.ts";

const MIB = 1024 * 1024;

let folder: Awaited<ReturnType<typeof temporaryFolder>>;
let path: string;
let clockMs: number;
const opened: EmbeddingCache[] = [];

beforeEach(async () => {
  folder = await temporaryFolder();
  path = join(folder.path, "cache", "embeddings.sqlite");
  clockMs = 0;
});

afterEach(async () => {
  await Promise.all(opened.splice(0).map((cache) => cache.close()));
  await folder[Symbol.asyncDispose]();
});

/** Opens a cache, and keeps what it logs. */
async function open({ at = path, maxBytes = 16 * MIB } = {}) {
  const warnings: string[] = [];
  const write = (message: string, fields?: object) =>
    void warnings.push(`${message} ${JSON.stringify(fields ?? {})}`);
  const log = { info: write, warn: write };
  const filename = workerFiles.cache;
  const cache = createEmbeddingCache({ path: at, maxBytes, filename, log, now: () => clockMs });
  opened.push(cache);
  await cache.open();
  return { cache, warnings };
}

function embeddingOf(index: number, change: Partial<NewEmbedding> = {}): NewEmbedding {
  return {
    facts: { sha256: digestOf(index), format: "webp", width: 7, height: index },
    fingerprint: "clip",
    model: "clip@test",
    vector: new Float32Array([index, 0.1, -1e-20, 3e38]),
    ...change,
  };
}

function digestOf(index: number): string {
  return Bun.SHA256.hash(String(index), "hex");
}

/** Keeps vectors, and closes the cache. */
async function keepAndClose(...embeddings: readonly NewEmbedding[]): Promise<void> {
  const { cache } = await open();
  for (const one of embeddings) cache.keep(one);
  await cache.close();
}

describe("what was kept", () => {
  test("is found at once, and by the next process, to the bit", async () => {
    const { cache } = await open();
    cache.keep(embeddingOf(1));
    expect(cache.find(digestOf(1), "clip")).toMatchObject(withoutFingerprint(embeddingOf(1)));
    await cache.close();
    const again = (await open()).cache;
    expect(again.find(digestOf(1), "clip")).toMatchObject(withoutFingerprint(embeddingOf(1)));
  });

  test("is found under its fingerprint alone", async () => {
    await keepAndClose(
      embeddingOf(1),
      embeddingOf(1, { fingerprint: "dino", model: "dino@1", vector: new Float32Array([5]) }),
    );
    const { cache } = await open();
    expect(cache.find(digestOf(1), "clip")?.model).toBe("clip@test");
    expect(cache.find(digestOf(1), "dino")?.vector).toEqual(new Float32Array([5]));
    expect(cache.find(digestOf(1), "cli")).toBeUndefined();
    expect(cache.find(digestOf(2), "clip")).toBeUndefined();
  });

  test("by another model under the same fingerprint is found no more", async () => {
    await keepAndClose(embeddingOf(1), embeddingOf(2));
    await keepAndClose(embeddingOf(3, { model: "clip@newer" }));
    const { cache } = await open();
    const models = [1, 2, 3].map((index) => cache.find(digestOf(index), "clip")?.model);
    expect(models).toEqual([undefined, undefined, "clip@newer"]);
  });

  test("is readable by this user alone", async () => {
    const { cache } = await open();
    cache.keep(embeddingOf(1));
    await until(async () => (await stat(`${path}-wal`)).size > 0);
    for (const name of await readdir(join(path, ".."))) {
      expect((await stat(join(path, "..", name))).mode & 0o777).toBe(0o600);
    }
    expect((await stat(join(path, ".."))).mode & 0o777).toBe(0o700);
  });

  test("is found before the file is open, and stays out of a cache that is never opened", async () => {
    const log = { info: () => {}, warn: () => {} };
    const filename = workerFiles.cache;
    const cache = createEmbeddingCache({ path, maxBytes: MIB, filename, log, now: () => 0 });
    expect(cache.find(digestOf(1), "clip")).toBeUndefined();
    await cache.close();
    expect(await readdir(folder.path)).toEqual([]);
  });
});

test("a vector that was replaced is nowhere in the file", async () => {
  const old = new Float32Array(64).fill(0.123_456_7);
  await keepAndClose(embeddingOf(1, { vector: old }), embeddingOf(2));
  await keepAndClose(embeddingOf(1, { vector: new Float32Array(64) }));
  {
    using database = openToRead(path);
    database.run("PRAGMA wal_checkpoint(TRUNCATE)");
  }
  const bytes = await readFile(path);
  expect(bytes.includes(new Uint8Array(old.buffer))).toBe(false);
});

test("a file that takes the place of the one that is read is read within a second", async () => {
  await keepAndClose(embeddingOf(1));
  const { cache } = await open();
  const other = join(folder.path, "other.sqlite");
  const writer = (await open({ at: other })).cache;
  writer.keep(embeddingOf(2));
  await writer.close();
  await rm(`${path}-wal`, { force: true });
  await rm(`${path}-shm`, { force: true });
  for (const suffix of ["", "-wal", "-shm"]) await rename(`${other}${suffix}`, `${path}${suffix}`);
  expect(cache.find(digestOf(1), "clip")).toBeDefined();
  clockMs += 1000;
  expect(cache.find(digestOf(1), "clip")).toBeUndefined();
  expect(cache.find(digestOf(2), "clip")).toBeDefined();
});

test("a file that cannot be written, since another process holds it, is read all the same", async () => {
  await keepAndClose(embeddingOf(1));
  using other = openToRead(path);
  other.run("BEGIN IMMEDIATE");
  const { cache, warnings } = await open();
  expect(warnings).toEqual([expect.stringContaining("cannot be written")]);
  expect(cache.find(digestOf(1), "clip")).toBeDefined();
});

test("two processes share one file", async () => {
  const [one, other] = [(await open()).cache, (await open()).cache];
  one.keep(embeddingOf(1));
  other.keep(embeddingOf(2));
  await until(() => one.find(digestOf(2), "clip") !== undefined);
  await until(() => other.find(digestOf(1), "clip") !== undefined);
});

/** Ways in which a file is no cache of ours. */
const breakers = {
  "other bytes": () =>
    writeFile(path, "this is not a database, and long enough to be seen as none"),
  "torn tables": async () => {
    const bytes = await Bun.file(path).bytes();
    await writeFile(path, bytes.fill(0xff, 100, 16_384));
  },
  "another version": async () => {
    using database = new Database(path);
    database.run("PRAGMA user_version = 999");
  },
  "somebody else's tables": async () => {
    await rm(path);
    using database = new Database(path, { create: true });
    database.run("CREATE TABLE notes (text TEXT)");
  },
} satisfies Record<string, () => Promise<unknown>>;

describe("a file that is no good at the start is put aside, and a new one begun", () => {
  test.each(Object.entries(breakers))("%s", async (_what, spoil) => {
    await keepAndClose(embeddingOf(1));
    await spoil();
    const { cache, warnings } = await open();
    expect(warnings).toEqual([expect.stringContaining("put aside")]);
    expect(cache.find(digestOf(1), "clip")).toBeUndefined();
    cache.keep(embeddingOf(2));
    await cache.close();
    expect((await open()).cache.find(digestOf(2), "clip")).toBeDefined();
    expect(await asideNames()).toHaveLength(1);
  });

  test("and only the last such file stays", async () => {
    for (let round = 0; round < 3; round += 1) {
      await keepAndClose(embeddingOf(round));
      await breakers["other bytes"]();
      await (await open()).cache.close();
    }
    expect(await asideNames()).toHaveLength(1);
  });
});

describe("a file that is spoiled while it is in use", () => {
  test("is put aside as soon as that is seen, and nothing fails", async () => {
    const { cache, warnings } = await open();
    for (let index = 0; index < 300; index += 1) cache.keep(embeddingOf(index, wide));
    await until(() => isWritten(300));
    using other = new Database(path);
    other.run("PRAGMA wal_checkpoint(TRUNCATE)");
    const bytes = await Bun.file(path).bytes();
    await writeFile(path, bytes.fill(0xff, 16_384 * 2));
    await until(() => {
      for (let index = 0; index < 300; index += 1) cache.find(digestOf(index), "clip");
      cache.keep(embeddingOf(1000 + warnings.length));
      return warnings.length > 0;
    });
    expect(warnings[0]).toContain("put aside");
    cache.keep(embeddingOf(2000));
    await until(() => isWritten(1));
    expect(cache.find(digestOf(2000), "clip")).toBeDefined();
  });

  test("by a flipped bit in a vector is a miss for that vector alone, until it is kept again", async () => {
    await keepAndClose(embeddingOf(1), embeddingOf(2));
    {
      using database = new Database(path);
      database.run("UPDATE vectors SET vector = zeroblob(16) WHERE height = 1");
    }
    const { cache } = await open();
    expect(cache.find(digestOf(1), "clip")).toBeUndefined();
    expect(cache.find(digestOf(2), "clip")).toBeDefined();
    cache.keep(embeddingOf(1));
    await cache.close();
    expect((await open()).cache.find(digestOf(1), "clip")?.vector).toEqual(embeddingOf(1).vector);
  });

  test("by its deletion is made anew", async () => {
    const { cache, warnings } = await open();
    await rm(join(path, ".."), { recursive: true });
    cache.keep(embeddingOf(1));
    await until(async () => (await stat(path).catch(() => undefined)) !== undefined);
    await cache.close();
    expect((await open()).cache.find(digestOf(1), "clip")).toBeDefined();
    expect(warnings).toEqual([]);
  });

  test("by another version that runs beside it is left to that one", async () => {
    const { cache, warnings } = await open();
    await breakers["another version"]();
    cache.keep(embeddingOf(1));
    await until(() => warnings.length > 0);
    expect(warnings[0]).toContain("cannot be written");
    expect(await asideNames()).toEqual([]);
  });
});

describe("a file that cannot be written", () => {
  test("in a folder that cannot be made: one warning, and nothing is kept", async () => {
    await writeFile(join(folder.path, "cache"), "a file");
    const { cache, warnings } = await open();
    for (let index = 0; index < 5; index += 1) cache.keep(embeddingOf(index));
    expect(cache.find(digestOf(1), "clip")).toBeUndefined();
    await cache.close();
    expect(warnings).toEqual([expect.stringMatching(/cannot be written.*EEXIST|ENOTDIR/)]);
  });

  test("is tried again after a while, and that it works again is told", async () => {
    await writeFile(join(folder.path, "cache"), "a file");
    const { cache, warnings } = await open();
    await rm(join(folder.path, "cache"));
    cache.keep(embeddingOf(1));
    expect(cache.find(digestOf(1), "clip")).toBeUndefined();
    clockMs = limits.cacheRestMs;
    cache.keep(embeddingOf(2));
    await until(() => warnings.length === 2);
    expect(warnings[1]).toContain("written again");
    expect(cache.find(digestOf(2), "clip")).toBeDefined();
  });
});

test("a file that is larger than a lowered limit is begun anew", async () => {
  const { cache } = await open({ maxBytes: 64 * MIB });
  for (let index = 0; index < 1000; index += 1) cache.keep(embeddingOf(index, wide));
  await until(() => isWritten(1000));
  await cache.close();
  expect((await stat(path)).size).toBeGreaterThan(4 * MIB);
  const smaller = await open({ maxBytes: 4 * MIB });
  expect(smaller.cache.find(digestOf(1), "clip")).toBeUndefined();
  expect((await stat(path)).size).toBeLessThan(MIB);
});

/** As many numbers as NV-DINOv2's. */
const wide = { vector: new Float32Array(1536).fill(0.5) };

function withoutFingerprint({ fingerprint: _, ...embedding }: NewEmbedding) {
  return embedding;
}

async function asideNames(): Promise<string[]> {
  return (await readdir(join(path, ".."))).filter((name) => name.includes(".corrupt-"));
}

/** Whether at least so many vectors are in the file. */
function isWritten(count: number): boolean {
  try {
    using database = new Database(path, { readwrite: true, create: false });
    const row = database
      .query<{ written: number }, []>("SELECT count(*) AS written FROM vectors")
      .get();
    return (row?.written ?? 0) >= count;
  } catch {
    return false;
  }
}
