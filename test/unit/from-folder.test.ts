/** The cache folder as a place for native libraries: what is taken, what is made again, what is refused. */
import { afterEach, beforeEach, describe, expect, test } from "bun:test";
import { chmod, chown, mkdir, readdir, stat, symlink } from "node:fs/promises";
import { basename, join } from "node:path";
import type { EmbeddedFile } from "../../src/native/embedded.ts";
import { placeInFolder } from "../../src/native/from-folder.ts";
import { leftOut } from "../support/left-out.ts";
import { temporaryFolder } from "../support/tiny-clip.ts";

const userId = process.getuid?.() ?? 0;
const everythingGoes = { canRun: () => true, lock: () => true };
const content = "a library\n";

let place: AsyncDisposable & { readonly path: string };
let cacheDir: string;
let file: EmbeddedFile;

beforeEach(async () => {
  place = await temporaryFolder();
  cacheDir = join(place.path, "cache");
  const path = join(place.path, "inside the executable");
  await Bun.write(path, content);
  const sha256 = new Bun.CryptoHasher("sha256").update(content).digest("hex");
  file = { name: "libone.so.1", path, bytes: content.length, sha256 };
});

afterEach(() => place[Symbol.asyncDispose]());

function placeFile(): string {
  const [placed] = placeInFolder([file], { cacheDir, userId, libc: everythingGoes });
  return placed?.path ?? "";
}

/** The folder in the cache and the file in it, once they were made. */
async function paths() {
  placeFile();
  const [name = ""] = await readdir(cacheDir);
  const folder = join(cacheDir, name);
  return { folder, path: join(folder, file.name) };
}

describe("what is written", () => {
  test("is readable through the path that is handed out, and only for its owner", async () => {
    expect(await Bun.file(placeFile()).text()).toBe(content);
    const { folder, path } = await paths();
    const modes = await Promise.all([cacheDir, folder, path].map(async (one) => stat(one)));
    expect(modes.map(({ mode }) => mode & 0o777)).toEqual([0o700, 0o700, 0o500]);
  });

  test("is named after its content, so that another version has a folder of its own", async () => {
    const { folder } = await paths();
    expect(basename(folder)).toMatch(/^native-[0-9a-f]{64}$/);
    await Bun.write(file.path, "another library\n");
    const sha256 = new Bun.CryptoHasher("sha256").update("another library\n").digest("hex");
    file = { ...file, bytes: 16, sha256 };
    placeFile();
    expect(await readdir(cacheDir)).toHaveLength(2);
  });

  test("is not written again while it is good", async () => {
    const { path } = await paths();
    const before = await stat(path);
    placeFile();
    expect((await stat(path)).ino).toBe(before.ino);
  });

  test("stays what was checked, although the file is replaced afterwards", async () => {
    const { path } = await paths();
    const handedOut = placeFile();
    await Bun.file(path).delete();
    await Bun.write(path, "something else");
    expect(await Bun.file(handedOut).text()).toBe(content);
  });
});

describe("a file that is not what it should be is made again", () => {
  test.each([
    ["cut short", (path: string) => rewrite(path, "a lib")],
    ["changed", (path: string) => rewrite(path, "A library\n")],
    ["writable for others", (path: string) => chmod(path, 0o722)],
    ["missing", async (path: string) => Bun.file(path).delete()],
  ])("%s", async (_what, spoil) => {
    const { path } = await paths();
    await spoil(path);
    expect(await Bun.file(placeFile()).text()).toBe(content);
    expect((await stat(path)).mode & 0o777).toBe(0o500);
  });

  test("a symbolic link, whose target is left alone", async () => {
    const { path } = await paths();
    const target = join(place.path, "elsewhere");
    await Bun.write(target, content);
    await Bun.file(path).delete();
    await symlink(target, path);
    placeFile();
    expect(
      (await readdir(join(path, ".."), { withFileTypes: true })).map((one) => one.isFile()),
    ).toEqual([true]);
    expect(await Bun.file(target).text()).toBe(content);
  });

  test("what a killed process left unfinished is swept away with it", async () => {
    const { folder, path } = await paths();
    await Bun.write(join(folder, ".unfinished-1"), "half of");
    await Bun.file(path).delete();
    placeFile();
    expect(await readdir(folder)).toEqual([file.name]);
  });
});

describe("a folder that others may have had a hand in is refused, and nothing is written", () => {
  test("the cache folder, where others can write to it", async () => {
    await mkdir(cacheDir);
    await chmod(cacheDir, 0o777);
    expect(placeFile).toThrow("take that away with chmod go-w");
    expect(await readdir(cacheDir)).toEqual([]);
  });

  test("but not where they can only add, as in /tmp", async () => {
    await mkdir(cacheDir);
    await chmod(cacheDir, 0o1777);
    expect(await Bun.file(placeFile()).text()).toBe(content);
  });

  test("its entry, where it is a symbolic link", async () => {
    const { folder } = await paths();
    const elsewhere = join(place.path, "elsewhere");
    await Bun.$`mv ${folder} ${elsewhere}`;
    await symlink(elsewhere, folder);
    expect(placeFile).toThrow("is not a folder that only this user can write to");
  });

  test("its entry, where others can write to it", async () => {
    const { folder } = await paths();
    await chmod(folder, 0o770);
    expect(placeFile).toThrow("is not a folder that only this user can write to");
  });

  test.each(["cache", "entry"])("the %s, where it belongs to another user", async (which) => {
    if (userId !== 0) return leftOut("folders of another user: needs root");
    const { folder } = await paths();
    await chown(which === "cache" ? cacheDir : folder, 65_534, 65_534);
    expect(placeFile).toThrow(/belongs to another user|only this user can write to/);
  });
});

test("a folder under a symbolic link of the operator's is fine: systemd makes its own so", async () => {
  await mkdir(join(place.path, "private"), { mode: 0o700 });
  await symlink(join(place.path, "private"), cacheDir);
  expect(await Bun.file(placeFile()).text()).toBe(content);
});

test.each([
  ["a file", "", /cannot be written to \(E(NOTDIR|EXIST)\); make it a folder/],
  ["under a file", "/cache", /cannot be written to \(ENOTDIR\); make it a folder/],
])("a cache folder that is %s is told with the mend", async (_what, rest, said) => {
  await Bun.write(cacheDir, "");
  cacheDir += rest;
  expect(placeFile).toThrow(said);
});

async function rewrite(path: string, text: string): Promise<void> {
  await chmod(path, 0o700);
  await Bun.write(path, text);
  await chmod(path, 0o500);
}
