/** What of the kept images is deleted, on a real disk. */
import { afterEach, beforeEach, describe, expect, test } from "bun:test";
import { mkdir, mkdtemp, readdir, rm, symlink } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import fc from "fast-check";
import type { ImageFacts } from "../../src/backends/protocol.ts";
import { createLog } from "../../src/log.ts";
import { createDownloads } from "../../src/store/downloads.ts";
import { deleteUnlessKeptAgain, type KeptImage, keptImages } from "../../src/store/kept-images.ts";
import { prune, type RetentionRule, startRetention } from "../../src/store/retention.ts";
import { until } from "../support/client.ts";
import { putFile, putImage } from "../support/kept-images.ts";

let directory: string;

beforeEach(async () => {
  directory = await mkdtemp(join(tmpdir(), "imagesvc-retention-"));
});

afterEach(() => rm(directory, { recursive: true }));

const hourMs = 3_600_000;
const { signal } = new AbortController();

function pruneAll(rule: Partial<RetentionRule>, maxHeld = 1000) {
  return prune({
    directory,
    rule: { maxAgeMs: 0, maxBytes: 0, ...rule },
    nowMs: Date.now(),
    maxHeld,
    remove: (image) => deleteUnlessKeptAgain(directory, image),
    signal,
  });
}

test("images whose last request is too long ago are deleted", async () => {
  const young = await putImage(directory, "young", { ageMs: hourMs });
  await putImage(directory, "old", { ageMs: 3 * hourMs, format: "webp" });
  expect(await pruneAll({ maxAgeMs: 2 * hourMs })).toEqual({
    deleted: 1,
    deletedBytes: 3,
    kept: 1,
    keptBytes: 5,
  });
  expect(await readdir(directory)).toEqual([young]);
});

test("the oldest images are deleted until there are few enough bytes", async () => {
  await putImage(directory, "aaaa", { ageMs: 4 * hourMs });
  const third = await putImage(directory, "bbbb", { ageMs: 2 * hourMs });
  await putImage(directory, "cccc", { ageMs: 3 * hourMs });
  const newest = await putImage(directory, "dddd");
  expect(await pruneAll({ maxBytes: 8 })).toMatchObject({ deleted: 2, kept: 2, keptBytes: 8 });
  expect((await readdir(directory)).toSorted()).toEqual([third, newest].toSorted());
  expect(await pruneAll({ maxBytes: 8 })).toMatchObject({ deleted: 0, kept: 2 });
});

test("what is too old does not count as bytes", async () => {
  await putImage(directory, "aaaa", { ageMs: 9 * hourMs });
  const kept = await putImage(directory, "bbbb", { ageMs: hourMs });
  await pruneAll({ maxAgeMs: 2 * hourMs, maxBytes: 4 });
  expect(await readdir(directory)).toEqual([kept]);
});

test("nothing that is not a kept image is touched or counted", async () => {
  const digest = "a".repeat(64);
  const others = [
    `${digest}`,
    `${digest}.txt`,
    `${digest}.jpg.bak`,
    `${digest.slice(1)}.jpg`,
    `${digest.toUpperCase()}.jpg`,
    `.incoming-${process.pid}-1`,
    ".gitkeep",
    "photo.jpg",
  ];
  for (const name of others) await putFile(directory, name, "x", 9 * hourMs);
  await mkdir(join(directory, `${"b".repeat(64)}.png`));
  await symlink("photo.jpg", join(directory, `${"c".repeat(64)}.jpg`));
  await symlink("/nowhere", join(directory, `${"d".repeat(64)}.jpg`));
  const before = (await readdir(directory)).toSorted();
  expect(await pruneAll({ maxAgeMs: 1, maxBytes: 1 })).toMatchObject({ deleted: 0, kept: 0 });
  expect((await readdir(directory)).toSorted()).toEqual(before);
});

test("a round that may hold few images deletes as many, the oldest", async () => {
  const images = fc.uniqueArray(fc.integer({ min: 1, max: 1000 }), { minLength: 1, maxLength: 12 });
  await fc.assert(
    fc.asyncProperty(images, fc.integer({ min: 1, max: 5 }), async (ages, maxHeld) => {
      const folder = await mkdtemp(join(directory, "case-"));
      const names = new Map<number, string>();
      for (const age of ages) {
        names.set(age, await putImage(folder, `${age}`, { ageMs: age * hourMs }));
      }
      const gone: KeptImage[] = [];
      const remove = async (image: KeptImage) => gone.push(image) > 0;
      const rule = { maxAgeMs: 0, maxBytes: 1 };
      await prune({ directory: folder, rule, nowMs: 0, maxHeld, remove, signal });
      const oldest = ages.toSorted((a, b) => b - a).slice(0, maxHeld);
      const bytes = (some: readonly number[]) =>
        some.reduce((sum, one) => sum + `${one}`.length, 0);
      const expected = oldest.filter(
        (_age, index) => bytes(ages) - bytes(oldest.slice(0, index)) > 1,
      );
      const found = gone.map(({ sha256 }) => `${sha256}.jpg`);
      expect(found).toEqual(expected.map((age) => names.get(age) ?? ""));
    }),
    { numRuns: 20 },
  );
});

test("pruning ends where it is when it is no longer wanted", async () => {
  const names = [await putImage(directory, "a", { ageMs: 9 * hourMs })];
  const controller = new AbortController();
  controller.abort();
  const pruning = prune({
    directory,
    rule: { maxAgeMs: 1, maxBytes: 0 },
    nowMs: Date.now(),
    maxHeld: 1,
    remove: (image) => deleteUnlessKeptAgain(directory, image),
    signal: controller.signal,
  });
  await expect(pruning).rejects.toMatchObject({ name: "AbortError" });
  expect(await readdir(directory)).toEqual(names);
});

describe("an image that is kept again while it is being deleted", () => {
  const bytes = new TextEncoder().encode("a picture");
  const sha256 = Bun.SHA256.hash(bytes, "hex");
  const facts: ImageFacts = { sha256, format: "png", width: 1, height: 1 };
  const name = `${sha256}.png`;
  const keep = () =>
    createDownloads({ directory, minFreeBytes: 0 }).keep({ kind: "memory", bytes }, facts);

  async function old(): Promise<KeptImage> {
    await putFile(directory, name, "a picture", 9 * hourMs);
    for await (const image of keptImages(directory)) return image;
    throw new Error("it was not found");
  }

  test("stays when it was kept after the look", async () => {
    const image = await old();
    await keep();
    expect(await deleteUnlessKeptAgain(directory, image)).toBe(false);
    expect(await readdir(directory)).toEqual([name]);
  });

  test("is written anew when it was deleted before", async () => {
    expect(await deleteUnlessKeptAgain(directory, await old())).toBe(true);
    expect(await readdir(directory)).toEqual([]);
    await keep();
    expect(await readdir(directory)).toEqual([name]);
  });

  test("is there afterwards, however the two fall together", async () => {
    for (let round = 0; round < 60; round += 1) {
      const image = await old();
      await Promise.all([
        deleteUnlessKeptAgain(directory, image),
        Bun.sleep(0).then(keep),
        deleteUnlessKeptAgain(directory, image),
        keep(),
      ]);
      expect(await readdir(directory)).toEqual([name]);
      expect(await Bun.file(join(directory, name)).text()).toBe("a picture");
    }
  });
});

describe("in the background", () => {
  function start(rule: Partial<RetentionRule>, clockWatch = { doubtedMs: () => 0 }) {
    const lines: string[] = [];
    const log = createLog({
      level: "debug",
      format: "json",
      write: (line) => lines.push(line),
      now: () => new Date(),
    });
    const whole = { maxAgeMs: 0, maxBytes: 0, ...rule };
    const options = { directory, rule: whole, maxHeld: 10, intervalMs: 1, clockWatch, log };
    const retention = startRetention(options);
    return { lines, retention };
  }

  test("images go as their time is over, again and again, until it is stopped", async () => {
    const { lines, retention } = start({ maxAgeMs: hourMs });
    for (const seed of ["a", "b"]) {
      await putImage(directory, seed, { ageMs: 2 * hourMs });
      await until(async () => (await readdir(directory)).length === 0);
    }
    await until(() => lines.length === 2);
    expect(JSON.parse(lines[0] ?? "")).toMatchObject({
      level: "info",
      message: "kept images were deleted",
      deleted: 1,
      deleted_bytes: 1,
      kept: 0,
      kept_bytes: 0,
    });
    await retention.stop();
    const late = await putImage(directory, "c", { ageMs: 2 * hourMs });
    await Bun.sleep(10);
    expect(await readdir(directory)).toEqual([late]);
  });

  test("nothing is looked at where nothing is limited", async () => {
    const name = await putImage(directory, "a", { ageMs: 9 * hourMs });
    const { lines, retention } = start({});
    await Bun.sleep(10);
    await retention.stop();
    expect(lines).toEqual([]);
    expect(await readdir(directory)).toEqual([name]);
  });

  test("while the clock is doubted no image is too old, but too many bytes are too many", async () => {
    const old = await putImage(directory, "old", { ageMs: 2 * hourMs });
    await putImage(directory, "older", { ageMs: 3 * hourMs });
    let doubtedMs = hourMs;
    const watch = { doubtedMs: () => doubtedMs };
    const { lines, retention } = start({ maxAgeMs: hourMs, maxBytes: 5 }, watch);
    await until(async () => (await readdir(directory)).length === 1);
    expect(await readdir(directory)).toEqual([old]);
    expect(lines.filter((line) => line.includes("the clock was set ahead"))).toHaveLength(1);
    doubtedMs = 0;
    await until(async () => (await readdir(directory)).length === 0);
    await retention.stop();
  });

  test("a folder that cannot be read is told of, and tried again", async () => {
    await rm(directory, { recursive: true });
    const { lines, retention } = start({ maxAgeMs: hourMs });
    await until(() => lines.length > 0);
    expect(JSON.parse(lines[0] ?? "")).toMatchObject({ level: "warn" });
    await mkdir(directory);
    await putImage(directory, "a", { ageMs: 2 * hourMs });
    await until(async () => (await readdir(directory)).length === 0);
    await retention.stop();
  });
});
