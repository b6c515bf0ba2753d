/** `NATIVE_DIR`: libraries of the operator's own, in place of those that the executable carries. */
import { describe, expect, test } from "bun:test";
import { copyFile, readFile } from "node:fs/promises";
import { join } from "node:path";
import { nativeFiles } from "../../src/native/native-files.ts";
import { hostPlatform } from "../../src/release/platform.ts";
import {
  builtExecutable,
  loadLibraries,
  serveReady,
  withoutMemoryFiles,
} from "../support/executable.ts";
import { temporaryFolder } from "../support/tiny-clip.ts";

const carried = nativeFiles(hostPlatform());
const names = [...carried.keys()];
const vips = names.find((name) => name.startsWith("libvips-cpp.so.")) ?? "";

/** A folder with copies of these native files. */
async function ownFolder(files: readonly string[]) {
  const folder = await temporaryFolder();
  for (const name of files) await copyFile(carried.get(name) ?? "", join(folder.path, name));
  return folder;
}

describe("a service with libraries of the operator's own", () => {
  test.each([
    ["all of them", names, "from NATIVE_DIR"],
    ["libvips alone", [vips], `${vips} from NATIVE_DIR, others from memory`],
  ])("maps %s from his folder, and runs its model", async (_what, own, how) => {
    await using folder = await ownFolder(own);
    await using service = await serveReady({ environment: { NATIVE_DIR: folder.path } });
    expect(service.log()).toContain(how);
    const maps = await readFile(`/proc/${service.pid}/maps`, "utf8");
    for (const name of names) {
      expect(maps.includes(join(folder.path, name))).toBe(own.includes(name));
      expect(maps.includes(`/memfd:${name} `)).toBe(!own.includes(name));
    }
    service.signal("SIGTERM");
    expect(await service.exited).toBe(0);
  });

  test("needs neither memory files nor a cache folder, if all are there", async () => {
    await using folder = await ownFolder(names);
    const { isLoaded, how } = await loadLibraries({
      within: withoutMemoryFiles,
      environment: { NATIVE_DIR: folder.path, CACHE_DIR: "/dev/null" },
    });
    expect({ isLoaded, how }).toEqual({ isLoaded: true, how: "from NATIVE_DIR" });
  });
});

describe("a folder that will not do is told in one sentence, with the mend", () => {
  test.each([
    ["is not there", () => "/nowhere", "is not a folder that can be read"],
    ["has none of them", (path: string) => path, "has none of the native libraries"],
  ])("one that %s, with the names that belong there", async (_what, choose, said) => {
    await using folder = await ownFolder([]);
    const complaint = await complaintAbout(choose(folder.path));
    expect(complaint).toContain(said);
    expect(complaint).toContain(`put there one or more of ${names.join(", ")}`);
  });

  test("one with something else under a library's name", async () => {
    await using folder = await ownFolder([]);
    await Bun.write(join(folder.path, vips), "no library");
    expect(await complaintAbout(folder.path)).toContain(`${vips} of NATIVE_DIR cannot be loaded`);
  });

  test("one with something else under a binding's name, which doctor finds too", async () => {
    await using folder = await ownFolder([]);
    await Bun.write(join(folder.path, "sharp.node"), "no binding");
    const complaint = await complaintAbout(folder.path);
    expect(complaint).toMatch(
      /^sharp\.node of NATIVE_DIR cannot be loaded: .*: replace the file, or take it away$/,
    );
    const doctor = Bun.spawnSync([await builtExecutable(), "doctor"], {
      env: { NATIVE_DIR: folder.path, HOME: folder.path },
      cwd: folder.path,
    });
    expect(doctor.exitCode).toBe(1);
    expect(doctor.stdout.toString()).toMatch(
      /^fail {2}native libraries +sharp\.node of NATIVE_DIR/m,
    );
  });

  test("one with a library that answers to another name", async () => {
    await using folder = await ownFolder([]);
    await copyFile(carried.get("libonnxruntime.so.1") ?? "", join(folder.path, vips));
    expect(await complaintAbout(folder.path)).toContain(`${vips} of NATIVE_DIR has another SONAME`);
  });

  async function complaintAbout(path: string): Promise<string | undefined> {
    const { code, complaint, errors } = await loadLibraries({ environment: { NATIVE_DIR: path } });
    expect(code).toBe(1);
    expect(errors.trim().split("\n")).toHaveLength(1);
    return complaint;
  }
});
