/** A file that is changed as a whole, on a real disk. */
import { afterEach, beforeEach, expect, test } from "bun:test";
import { chmod, lstat, mkdtemp, readdir, rm, stat, symlink } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { editFile } from "../../src/store/edited-file.ts";

let folder: string;
let path: string;

beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), "imagesvc-edited-"));
  path = join(folder, "file");
});

afterEach(() => rm(folder, { recursive: true }));

function edit(change: (text: string | undefined) => string, lockTimeoutMs = 60_000): Promise<void> {
  return editFile(path, change, { lockTimeoutMs, signal: new AbortController().signal });
}

test("a new file is its owner's alone", async () => {
  await edit((text) => {
    expect(text).toBeUndefined();
    return "new";
  });
  expect(await Bun.file(path).text()).toBe("new");
  expect((await stat(path)).mode & 0o777).toBe(0o600);
  expect(await readdir(folder)).toEqual(["file"]);
});

test.each([
  [0o600, 0o600],
  [0o640, 0o640],
  [0o666, 0o640],
  [0o400, 0o600],
])("a file of mode %o then has %o", async (before, after) => {
  await Bun.write(path, "old");
  await chmod(path, before);
  await edit((text) => `${text} and new`);
  expect(await Bun.file(path).text()).toBe("old and new");
  expect((await stat(path)).mode & 0o777).toBe(after);
});

test("an edit that fails leaves the file as it was, and unlocked", async () => {
  await Bun.write(path, "old");
  const { ino } = await stat(path);
  const failing = edit(() => {
    throw new Error("no");
  });
  await expect(failing).rejects.toThrow("no");
  expect(await Bun.file(path).text()).toBe("old");
  expect((await stat(path)).ino).toBe(ino);
  expect(await readdir(folder)).toEqual(["file"]);
});

test("many edits at once are all there", async () => {
  const lines = Array.from({ length: 12 }, (_, index) => `${index}\n`);
  await Promise.all(lines.map((line) => edit((text = "") => text + line)));
  const found = (await Bun.file(path).text()).match(/\d+\n/g) ?? [];
  expect(found.toSorted()).toEqual(lines.toSorted());
});

test("a symbolic link stays, and its file is changed", async () => {
  const real = join(folder, "real");
  await Bun.write(real, "old");
  await symlink("real", path);
  await edit(() => "new");
  expect((await lstat(path)).isSymbolicLink()).toBe(true);
  expect(await Bun.file(real).text()).toBe("new");
});

test("a symbolic link that leads nowhere yet stays too", async () => {
  await symlink("later", path);
  await edit(() => "new");
  expect((await lstat(path)).isSymbolicLink()).toBe(true);
  expect(await Bun.file(join(folder, "later")).text()).toBe("new");
});

test("a symbolic link to itself is an error", async () => {
  await symlink("file", path);
  await expect(edit(() => "new")).rejects.toThrow("in circles");
});

test("whoever holds the lock for too long is told of, and nothing is changed", async () => {
  await Bun.write(path, "old");
  await Bun.write(`${path}.lock`, "");
  await expect(edit(() => "new", 0)).rejects.toMatchObject({ code: "EEXIST" });
  expect(await Bun.file(path).text()).toBe("old");
  expect(await Bun.file(`${path}.lock`).exists()).toBe(true);
});

test("waiting for the lock ends when it is no longer wanted", async () => {
  await Bun.write(`${path}.lock`, "");
  const controller = new AbortController();
  const waiting = editFile(path, () => "new", { lockTimeoutMs: 60_000, signal: controller.signal });
  controller.abort();
  await expect(waiting).rejects.toMatchObject({ name: "AbortError" });
  expect(await Bun.file(path).exists()).toBe(false);
});
