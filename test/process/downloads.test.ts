/** `imagesvc downloads`, as a process of its own, and what the service does by itself. */
import { afterEach, beforeEach, describe, expect, test } from "bun:test";
import { mkdtemp, readdir, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { embeddingDatabasePath, openToWrite } from "../../src/store/embedding-database.ts";
import { forgetImage, writeEmbeddings } from "../../src/store/embedding-rows.ts";
import { until } from "../support/client.ts";
import { putFile, putImage } from "../support/kept-images.ts";
import { runMain, startProcess } from "../support/process.ts";

const hourMs = 3_600_000;
let directory: string;

beforeEach(async () => {
  directory = await mkdtemp(join(tmpdir(), "imagesvc-downloads-"));
});

afterEach(() => rm(directory, { recursive: true, force: true }));

function downloads(argv: readonly string[], environment: Readonly<Record<string, string>> = {}) {
  const folders = { DOWNLOADS_DIR: directory, CACHE_DIR: join(directory, "cache") };
  return runMain(["downloads", ...argv], { ...folders, ...environment });
}

/** Puts two vectors of an image into the cache. */
function putVectors(name: string): void {
  const path = embeddingDatabasePath(join(directory, "cache"));
  using database = openToWrite(path, { maxBytes: 16 * 1024 * 1024, busyTimeoutMs: 1000 });
  const facts = { sha256: digestOf(name), format: "jpg", width: 1, height: 1 } as const;
  const embeddings = ["clip", "dino"].map((fingerprint) => {
    return { facts, fingerprint, model: "m", vector: new Float32Array(8) };
  });
  writeEmbeddings(database, { embeddings, used: [], nowHour: 0 });
}

function digestOf(name: string): string {
  return name.slice(0, 64);
}

describe("list", () => {
  test("prints the kept images, newest first, and their sum on stderr", async () => {
    const old = await putImage(directory, "older", { ageMs: 2 * hourMs, format: "avif" });
    const young = await putImage(directory, "new", { ageMs: hourMs });
    await putFile(directory, "notes.txt", "mine", 0);
    const { code, output, errors } = await downloads(["list"]);
    expect(code).toBe(0);
    const time = String.raw`\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ`;
    expect(output).toMatch(
      new RegExp(`^${digestOf(young)}  jpg   +3  ${time}\n${digestOf(old)}  avif +5  ${time}\n$`),
    );
    expect(errors).toBe("2 images (8 bytes) kept.\n");

    const asJson = await downloads(["list", "--json"]);
    expect(JSON.parse(asJson.output)).toEqual([
      {
        sha256: digestOf(young),
        format: "jpg",
        bytes: 3,
        kept_since: expect.stringMatching(new RegExp(`^${time}$`)),
      },
      expect.objectContaining({ sha256: digestOf(old), format: "avif", bytes: 5 }),
    ]);
  });

  test("of an empty folder is empty", async () => {
    expect(await downloads(["list"])).toEqual({
      code: 0,
      output: "",
      errors: "0 images (0 bytes) kept.\n",
    });
    expect((await downloads(["list", "--json"])).output).toBe("[]\n");
  });
});

describe("prune", () => {
  const old = { DOWNLOADS_MAX_AGE: "1d" };

  test("deletes by age and by size, and names what it deleted", async () => {
    const first = await putImage(directory, "a", { ageMs: 25 * hourMs });
    const second = await putImage(directory, "b", { ageMs: 2 * hourMs });
    const third = await putImage(directory, "c", { ageMs: hourMs });
    const { code, output, errors } = await downloads(["prune"], old);
    expect({ code, output }).toEqual({ code: 0, output: `${first}\n` });
    expect(errors).toBe("1 image (1 bytes) deleted, 2 images (2 bytes) kept.\n");
    const bySize = await downloads(["prune", "--downloads-max-bytes", "1"]);
    expect(bySize.output).toBe(`${second}\n`);
    expect(await readdir(directory)).toEqual([third]);
  });

  test("only says what it would delete, if that is asked", async () => {
    const name = await putImage(directory, "a", { ageMs: 25 * hourMs });
    const { code, output, errors } = await downloads(["prune", "--dry-run"], old);
    expect({ code, output }).toEqual({ code: 0, output: `${name}\n` });
    expect(errors).toBe("1 image (1 bytes) would be deleted, 0 images (0 bytes) kept.\n");
    expect(await readdir(directory)).toEqual([name]);
  });

  test("wants to know what is too old or too much", async () => {
    await putImage(directory, "a", { ageMs: 9999 * hourMs });
    for (const environment of [{}, { DOWNLOADS_MAX_AGE: "0", DOWNLOADS_MAX_BYTES: "0" }]) {
      const { code, output, errors } = await downloads(["prune"], environment);
      expect({ code, output }).toEqual({ code: 2, output: "" });
      expect(errors).toContain("DOWNLOADS_MAX_AGE");
    }
    expect(await readdir(directory)).toHaveLength(1);
  });
});

test("prune says that vectors stay where there are any", async () => {
  const name = await putImage(directory, "a", { ageMs: 25 * hourMs });
  putVectors(name);
  const { errors } = await downloads(["prune"], { DOWNLOADS_MAX_AGE: "1d" });
  expect(errors).toContain("Their vectors stay in the cache");
});

describe("delete", () => {
  test("deletes every format of a digest, and nothing else", async () => {
    const jpg = await putImage(directory, "a");
    await putImage(directory, "a", { format: "tif" });
    const other = await putImage(directory, "b");
    const { code, output, errors } = await downloads(["delete", digestOf(jpg).toUpperCase()]);
    expect({ code, output }).toEqual({ code: 0, output: "" });
    expect(errors).toBe("2 images (2 bytes) and 0 vectors deleted.\n");
    expect(await readdir(directory)).toEqual([other]);
    const again = await downloads(["delete", digestOf(jpg)]);
    expect(again).toMatchObject({ code: 1, output: "" });
    expect(again.errors).toContain("no image of this digest");
  });

  test("deletes the kept vectors of the digest too, also where no image is kept", async () => {
    const [jpg, other] = [await putImage(directory, "a"), await putImage(directory, "b")];
    for (const name of [jpg, other]) putVectors(name);
    const both = await downloads(["delete", digestOf(jpg)]);
    expect(both).toMatchObject({
      code: 0,
      errors: "1 image (1 bytes) and 2 vectors deleted.\n",
    });
    putVectors(jpg);
    const vectors = await downloads(["delete", digestOf(jpg)]);
    expect(vectors.errors).toBe("0 images (0 bytes) and 2 vectors deleted.\n");
    expect(await downloads(["delete", digestOf(jpg)])).toMatchObject({ code: 1 });
    const rest = await downloads(["delete", digestOf(other)]);
    expect(rest.errors).toBe("1 image (1 bytes) and 2 vectors deleted.\n");
  });

  test("deletes the files of vectors that were put aside as broken", async () => {
    const jpg = await putImage(directory, "a");
    await putFile(directory, "cache/embeddings.sqlite.corrupt-2026", "vectors", 0);
    expect(await downloads(["delete", digestOf(jpg)])).toMatchObject({ code: 0 });
    expect(await readdir(join(directory, "cache"))).toEqual([]);
  });

  test("says so where another reader keeps the vectors from being overwritten", () => {
    putVectors("c".repeat(64));
    const path = embeddingDatabasePath(join(directory, "cache"));
    const terms = { maxBytes: 16 * 1024 * 1024, busyTimeoutMs: 0 };
    using database = openToWrite(path, terms);
    using reader = openToWrite(path, terms);
    reader.run("BEGIN");
    reader.query("SELECT count(*) FROM vectors").get();
    const forgotten = forgetImage(database, "c".repeat(64));
    expect(forgotten).toEqual({ vectors: 2, isErased: false });
    reader.run("COMMIT");
    expect(forgetImage(database, "c".repeat(64)).isErased).toBe(true);
  });

  test("says so where the vectors cannot be deleted", async () => {
    const jpg = await putImage(directory, "a");
    await putFile(directory, "cache/embeddings.sqlite", "no database, but long enough for one", 0);
    const { code, errors } = await downloads(["delete", digestOf(jpg)]);
    expect(code).toBe(1);
    expect(errors).toMatch(/vectors of the image cannot be deleted.*SQLITE_NOTADB/);
  });

  test.each(["a", "*", `../${"a".repeat(61)}`, `${"a".repeat(64)}.jpg`, "g".repeat(64)])(
    "wants a whole digest, not %s",
    async (digest) => {
      const name = await putImage(directory, "a");
      expect(await downloads(["delete", digest])).toMatchObject({ code: 2, output: "" });
      expect(await readdir(directory)).toEqual([name]);
    },
  );
});

test("a folder that is not there is one sentence with the mend", async () => {
  directory = join(directory, "missing");
  for (const argv of [["list"], ["prune", "--downloads-max-age", "1d"]]) {
    const { code, output, errors } = await downloads(argv);
    expect({ code, output }).toEqual({ code: 1, output: "" });
    expect(errors).toMatch(/^imagesvc: .*DOWNLOADS_DIR.*\n$/);
  }
});

test("the service deletes by itself what its settings name, and nothing else", async () => {
  const old = await putImage(directory, "a", { ageMs: 2 * hourMs });
  const young = await putImage(directory, "b");
  await putFile(directory, "notes.txt", "mine", 9 * hourMs);
  await using service = await startProcess({
    DOWNLOADS_DIR: directory,
    DOWNLOADS_MAX_AGE: "60m",
    CLIP_WEIGHTS: "openai",
  });
  await service.logged(/"kept images were deleted","deleted":1,"deleted_bytes":1,"kept":1/);
  await until(async () => !(await readdir(directory)).includes(old));
  expect((await readdir(directory)).toSorted()).toEqual([young, "notes.txt"].toSorted());
  service.signal("SIGTERM");
  expect(await service.exited).toBe(0);
});

test("the service deletes nothing without such settings", async () => {
  const old = await putImage(directory, "a", { ageMs: 99_999 * hourMs });
  await using service = await startProcess({ DOWNLOADS_DIR: directory, CLIP_WEIGHTS: "openai" });
  await service.url();
  service.signal("SIGTERM");
  expect(await service.exited).toBe(0);
  expect(await readdir(directory)).toEqual([old]);
});
