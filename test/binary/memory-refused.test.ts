/** The compiled file where the host refuses memory files: its libraries go to the cache folder. */
import { describe, expect, test } from "bun:test";
import { chmod, chown, mkdir, readdir, readFile, symlink } from "node:fs/promises";
import { join } from "node:path";
import { answerOf, base64Of, postJson } from "../support/client.ts";
import {
  isRoot,
  loadLibraries,
  serveReady,
  withMounts,
  withoutMemoryFiles,
} from "../support/executable.ts";
import { leftOut } from "../support/left-out.ts";
import { makePng } from "../support/pictures.ts";
import { temporaryFolder } from "../support/tiny-clip.ts";

const why = "because memfd_create is refused here";

/** Runs `openapi` under the filter, in mounts of its own where a script makes them. */
function load(cacheDir: string, mounts: readonly string[] = []) {
  return loadLibraries({
    within: [...mounts, ...withoutMemoryFiles],
    environment: { CACHE_DIR: cacheDir },
  });
}

test("it embeds a picture, and maps its libraries from the cache folder", async () => {
  await using cache = await temporaryFolder();
  await using service = await serveReady({
    within: withoutMemoryFiles,
    environment: { CACHE_DIR: cache.path },
  });
  expect(service.log()).toContain(`from the cache folder, ${why}`);
  const body = { image_base64: base64Of(await makePng()) };
  const served = { url: service.at };
  const answer = await postJson(served, "/vectorize-image-base64?model=clip-ViT-B-32", body);
  expect((await answerOf(answer)).vector).toHaveLength(512);
  const [folder = ""] = await readdir(cache.path);
  const names = await readdir(join(cache.path, folder));
  expect(names).toHaveLength(4);
  const maps = await readFile(`/proc/${service.pid}/maps`, "utf8");
  for (const name of names) expect(maps).toContain(join(cache.path, folder, name));
});

test("without CACHE_DIR it takes the user's cache folder", async () => {
  await using home = await temporaryFolder();
  const { isLoaded } = await loadLibraries({
    within: withoutMemoryFiles,
    environment: { HOME: home.path },
  });
  expect(isLoaded).toBe(true);
  expect(await readdir(join(home.path, ".cache/imagesvc"))).toHaveLength(1);
});

test("ten that start at once all come up, and leave one copy", async () => {
  await using cache = await temporaryFolder();
  const starts = await Promise.all(Array.from({ length: 10 }, () => load(cache.path)));
  expect(starts.map(({ isLoaded }) => isLoaded)).toEqual(starts.map(() => true));
  const folders = await readdir(cache.path);
  expect(folders).toHaveLength(1);
  expect(await readdir(join(cache.path, folders[0] ?? ""))).toHaveLength(4);
});

test("a library that was tampered with is not loaded, but made again", async () => {
  await using cache = await temporaryFolder();
  await load(cache.path);
  const [folder = ""] = await readdir(cache.path);
  const path = join(cache.path, folder, "libonnxruntime.so.1");
  const good = await Bun.file(path).bytes();
  const changed = good.slice();
  changed[changed.length >> 1] = 255 - (changed[changed.length >> 1] ?? 0);
  await chmod(path, 0o700);
  await Bun.write(path, changed);
  expect((await load(cache.path)).isLoaded).toBe(true);
  expect(Buffer.compare(await Bun.file(path).bytes(), good)).toBe(0);
});

describe("where the cache folder will not do either, one sentence names both reasons and the mend", () => {
  test.each([
    ["is full", "size=16m", "is full; free 66 MB there, or set CACHE_DIR to another folder"],
    ["runs no code", "noexec", "is mounted noexec; set CACHE_DIR to a folder on another"],
    ["is read-only", "ro", "cannot be written to (EROFS); make it a folder of the service's user"],
  ])("it %s", async (_what, mountOptions, said) => {
    if (!isRoot) return leftOut("mounting a file system: needs root");
    await using cache = await temporaryFolder();
    const script = 'mount -t tmpfs -o "$2" tmpfs "$1"';
    await expectRefusal(cache.path, said, withMounts(script, cache.path, mountOptions));
  });

  test("its entry is a symbolic link", async () => {
    await using cache = await temporaryFolder();
    await load(cache.path);
    const [folder = ""] = await readdir(cache.path);
    await Bun.$`mv ${folder} elsewhere`.cwd(cache.path);
    await symlink("elsewhere", join(cache.path, folder));
    await expectRefusal(cache.path, "is not a folder that only this user can write to");
  });

  test("another user owns it", async () => {
    if (!isRoot) return leftOut("a folder of another user: needs root");
    await using cache = await temporaryFolder();
    await chown(cache.path, 65_534, 65_534);
    await expectRefusal(cache.path, "belongs to another user");
  });

  test("the user may not write there", async () => {
    if (!isRoot) return leftOut("running as another user: needs root");
    await using place = await temporaryFolder();
    await chmod(place.path, 0o755);
    await mkdir(join(place.path, "locked"), { mode: 0o755 });
    const asNobody = ["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups"];
    const said = "cannot be written to (EACCES)";
    await expectRefusal(join(place.path, "locked/cache"), said, asNobody);
  });

  async function expectRefusal(
    cacheDir: string,
    said: string,
    within: readonly string[] = [],
  ): Promise<void> {
    const { code, complaint, errors } = await load(cacheDir, within);
    expect({ code, complaint }).toEqual({ code: 1, complaint: expect.stringContaining(said) });
    expect(complaint).toContain(`neither from memory, ${why}`);
    expect(complaint).toContain(`nor from the cache folder, because`);
    expect(errors.trim().split("\n")).toHaveLength(1);
  }
});
