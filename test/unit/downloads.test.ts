/** The folder of received images, on a real disk. */
import { afterEach, beforeEach, expect, test } from "bun:test";
import { mkdtemp, readdir, rename, rm, stat, truncate, utimes } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { ImageFacts } from "../../src/backends/protocol.ts";
import { createDownloads } from "../../src/store/downloads.ts";
import { until } from "../support/client.ts";

let directory: string;

beforeEach(async () => {
  directory = await mkdtemp(join(tmpdir(), "imagesvc-downloads-"));
});

afterEach(() => rm(directory, { recursive: true, force: true }));

function open(options: { readonly minFreeBytes?: number; readonly directory?: string } = {}) {
  return createDownloads({ directory, minFreeBytes: 0, ...options });
}

const bytes = new TextEncoder().encode("the bytes of a picture");
const facts: ImageFacts = {
  sha256: Bun.SHA256.hash(bytes, "hex"),
  format: "png",
  width: 1,
  height: 1,
};
const name = `${facts.sha256}.png`;
const inMemory = { kind: "memory", bytes } as const;

/** Bytes that are on disk already, as an upload leaves them. */
async function spooled(downloads = open()) {
  const spool = await downloads.openSpool();
  await spool.write(bytes.subarray(0, 5));
  await spool.write(bytes.subarray(5));
  return spool;
}

function read(file: string): Promise<string> {
  return Bun.file(join(directory, file)).text();
}

test("an image is kept under the digest of its bytes, for this user only", async () => {
  expect(await open().keep(inMemory, facts)).toEqual({ savedAs: name, path: `downloads/${name}` });
  expect(await readdir(directory)).toEqual([name]);
  expect(await read(name)).toBe("the bytes of a picture");
  expect((await stat(join(directory, name))).mode & 0o777).toBe(0o600);
});

test("an upload's file becomes the kept file, without being copied", async () => {
  const downloads = open();
  const spool = await spooled(downloads);
  const { ino } = await stat(spool.path);
  await downloads.keep({ kind: "file", path: spool.path }, facts);
  await spool.discard();
  expect(await readdir(directory)).toEqual([name]);
  expect((await stat(join(directory, name))).ino).toBe(ino);
  expect((await stat(join(directory, name))).mode & 0o777).toBe(0o600);
});

test("an image that is staged is kept whole, although its memory is given away meanwhile", async () => {
  const given = bytes.slice();
  const staged = open().stage({ kind: "memory", bytes: given });
  given.buffer.transfer();
  expect(await staged.keep(facts)).toMatchObject({ savedAs: name });
  await staged.discard();
  expect(await readdir(directory)).toEqual([name]);
  expect(await read(name)).toBe("the bytes of a picture");
});

test("an image that is staged and not kept leaves nothing", async () => {
  const downloads = open();
  await downloads.stage(inMemory).discard();
  expect(await readdir(directory)).toEqual([]);
});

test("an image that is staged takes the place of one that is there already, and is as new", async () => {
  const downloads = open();
  await downloads.keep(inMemory, facts);
  const path = join(directory, name);
  await truncate(path, 3);
  await utimes(path, 0, 0);
  const again = downloads.stage(inMemory);
  await again.keep(facts);
  await again.discard();
  expect(await readdir(directory)).toEqual([name]);
  expect(await read(name)).toBe("the bytes of a picture");
  expect(Date.now() - (await stat(path)).mtimeMs).toBeLessThan(60_000);
});

test("what keeps a staged image from the disk is told when it is kept", async () => {
  const staged = open({ directory: join(directory, "missing") }).stage(inMemory);
  await expect(staged.keep(facts)).rejects.toMatchObject({ code: "storage-full" });
  await staged.discard();
});

test("the same bytes twice are one file, which is not written again", async () => {
  const downloads = open();
  await downloads.keep(inMemory, facts);
  const before = await stat(join(directory, name));
  const spool = await spooled(downloads);
  await downloads.keep(inMemory, facts);
  await downloads.keep({ kind: "file", path: spool.path }, facts);
  await spool.discard();
  expect(await readdir(directory)).toEqual([name]);
  expect((await stat(join(directory, name))).ino).toBe(before.ino);
});

async function makeOld(file: string): Promise<void> {
  const long = new Date("2001-01-01");
  await utimes(join(directory, file), long, long);
}

test("the same bytes again make the file new", async () => {
  await open().keep(inMemory, facts);
  await makeOld(name);
  const before = Date.now();
  await open().keep(inMemory, facts);
  expect((await stat(join(directory, name))).mtimeMs).toBeGreaterThanOrEqual(before - 1);
});

test("the same bytes many times at once are one file", async () => {
  const downloads = open();
  await Promise.all(Array.from({ length: 8 }, () => downloads.keep(inMemory, facts)));
  expect(await readdir(directory)).toEqual([name]);
  expect(await read(name)).toBe("the bytes of a picture");
});

test("a file of the wrong size under the same name is replaced", async () => {
  await Bun.write(join(directory, name), "cut");
  await open().keep(inMemory, facts);
  expect(await read(name)).toBe("the bytes of a picture");
  expect(await readdir(directory)).toEqual([name]);
});

test("whoever reads a file while it is replaced sees the old or the new one, whole", async () => {
  await Bun.write(join(directory, name), "the old one");
  const seen = new Set<string>();
  let isDone = false;
  const kept = open()
    .keep(inMemory, facts)
    .finally(() => {
      isDone = true;
    });
  while (!isDone) seen.add(await read(name));
  await kept;
  seen.add(await read(name));
  for (const text of seen) expect(["the old one", "the bytes of a picture"]).toContain(text);
});

test("a spool is a hidden file of its own, for this user only", async () => {
  const downloads = open();
  const spools = await Promise.all([downloads.openSpool(), downloads.openSpool()]);
  const names = await readdir(directory);
  expect(new Set(names).size).toBe(2);
  for (const one of names) expect(one).toStartWith(`.incoming-${process.pid}-`);
  for (const { path } of spools) expect((await stat(path)).mode & 0o777).toBe(0o600);
  for (const spool of spools) await spool.discard();
});

test("a spool can be discarded at any time, again and again", async () => {
  const downloads = open();
  const early = await downloads.openSpool();
  await early.discard();
  await early.discard();
  const finished = await spooled(downloads);
  await finished.discard();
  await finished.discard();
  expect(await readdir(directory)).toEqual([]);
});

test("discarding after the file was kept leaves the kept file", async () => {
  const downloads = open();
  const spool = await spooled(downloads);
  await downloads.keep({ kind: "file", path: spool.path }, facts);
  await spool.discard();
  await spool.discard();
  expect(await readdir(directory)).toEqual([name]);
});

/** The number of a process that has ended. */
async function deadPid(): Promise<number> {
  const child = Bun.spawn(["true"], { stdout: "ignore" });
  await child.exited;
  return child.pid;
}

test("prepare makes the folder, also below others, for this user only", async () => {
  const below = join(directory, "a", "b");
  await open({ directory: below }).prepare();
  expect((await stat(below)).mode & 0o777).toBe(0o700);
});

test("prepare takes away what dead processes left half-written, and nothing else", async () => {
  await using alive = Bun.spawn(["sleep", "60"], { stdout: "ignore" });
  const living = `.incoming-${alive.pid}-1`;
  const stale = [`.incoming-${await deadPid()}-1`, `.incoming-${process.pid}-1`];
  const others = [living, name, ".gitkeep", ".incoming-", ".incoming-x-1", `x.incoming-1-1`];
  for (const one of [...stale, ...others]) await Bun.write(join(directory, one), "");
  await open().prepare();
  expect((await readdir(directory)).toSorted()).toEqual(others.toSorted());
});

test("prepare leaves what is under way in a process that this one cannot see, until it is gone", async () => {
  const spool = await spooled();
  const unseen = `.incoming-${await deadPid()}-1`;
  await rename(spool.path, join(directory, unseen));
  await open().prepare();
  expect(await readdir(directory)).toEqual([unseen]);
  await spool.discard();
  await open().prepare();
  expect(await readdir(directory)).toEqual([]);
});

test("prepare leaves a new file of a process that lives, which may be about to lock it", async () => {
  // Signalling process 1 is refused to all but root: it is alive either way.
  await Bun.write(join(directory, ".incoming-1-1"), "");
  await open().prepare();
  expect(await readdir(directory)).toEqual([".incoming-1-1"]);
});

test("prepare takes away what nobody locks, though another process has the number of its own", async () => {
  await Bun.write(join(directory, ".incoming-1-1"), "");
  await makeOld(".incoming-1-1");
  const spool = await spooled();
  await rename(spool.path, join(directory, ".incoming-1-2"));
  await makeOld(".incoming-1-2");
  await open().prepare();
  expect(await readdir(directory)).toEqual([".incoming-1-2"]);
  await spool.discard();
});

test("a folder that is not there is storage-full, without its path", async () => {
  const missing = join(directory, "missing");
  for (const minFreeBytes of [0, 1]) {
    const downloads = open({ directory: missing, minFreeBytes });
    for (const attempt of [downloads.openSpool(), downloads.keep(inMemory, facts)]) {
      const [settled] = await Promise.allSettled([attempt]);
      const reason = settled.status === "rejected" ? settled.reason : undefined;
      expect(reason).toMatchObject({ name: "Problem", code: "storage-full" });
      expect(reason.message).not.toContain(directory);
      expect(reason.cause).toMatchObject({ code: "ENOENT" });
    }
  }
});

test("less free space than must stay is storage-full, and nothing is written", async () => {
  const downloads = open({ minFreeBytes: 1e15 });
  await expect(downloads.openSpool()).rejects.toMatchObject({ code: "storage-full" });
  await expect(downloads.keep(inMemory, facts)).rejects.toMatchObject({ code: "storage-full" });
  expect(await readdir(directory)).toEqual([]);
});

test("whether there is room is told without writing anything", async () => {
  expect(await open({ minFreeBytes: 1e15 }).hasRoom()).toBe(false);
  expect(await open({ minFreeBytes: 1 }).hasRoom()).toBe(true);
  expect(await readdir(directory)).toEqual([]);
});

test("an image that is kept already needs no free space", async () => {
  await open().keep(inMemory, facts);
  expect(await open({ minFreeBytes: 1e15 }).keep(inMemory, facts)).toHaveProperty("savedAs", name);
});

test("a name that cannot be taken is storage-full, and nothing half-written stays", async () => {
  await Bun.write(join(directory, name, "inside"), "");
  await expect(open().keep(inMemory, facts)).rejects.toMatchObject({ code: "storage-full" });
  expect(await readdir(directory)).toEqual([name]);
});

test("a write that the disk refuses is storage-full", async () => {
  const downloads = open();
  const spool = await downloads.openSpool();
  await spool.discard();
  await expect(spool.write(bytes)).rejects.toMatchObject({ code: "storage-full" });
});

test("a disk that takes nothing away either is told of as one that takes nothing", async () => {
  const downloads = open();
  const staged = downloads.stage(inMemory);
  // Nothing can be renamed there, nor deleted: its parent is a file by then.
  await until(async () => (await readdir(directory)).length === 1);
  await Bun.sleep(0);
  await rm(directory, { recursive: true });
  await Bun.write(directory, "");
  await expect(staged.keep(facts)).rejects.toMatchObject({ code: "storage-full" });
  await staged.discard();
});
