import { expect, test } from "bun:test";
import { readdirSync, readlinkSync } from "node:fs";
import { join } from "node:path";
import { placeInMemory } from "../../src/native/from-memory.ts";
import { openLibc } from "../../src/native/libc.ts";
import { temporaryFolder } from "../support/tiny-clip.ts";

async function oneFile(folder: string) {
  const path = join(folder, "inside the executable");
  await Bun.write(path, "a library\n");
  return [{ name: "libone.so.1", path, bytes: 10, sha256: "" }];
}

test("a memory file holds the whole file, and code in it may run", async () => {
  await using place = await temporaryFolder();
  using libc = openLibc();
  const [placed] = placeInMemory(await oneFile(place.path), libc);
  expect(await Bun.file(placed?.path ?? "").text()).toBe("a library\n");
});

test.each([
  ["are refused", { createMemoryFile: () => undefined }, "memfd_create is refused here"],
  ["may run no code", { canRun: () => false }, "code in memory files may not run here"],
])("memory files that %s are told as such, and none stays open", async (_what, refusal, said) => {
  await using place = await temporaryFolder();
  using libc = openLibc();
  const files = await oneFile(place.path);
  const openMemoryFiles = () =>
    readdirSync("/proc/self/fd").filter((name) => linkOf(name).startsWith("/memfd:libtwo.so.1"));
  const named = files.map((file) => ({ ...file, name: "libtwo.so.1" }));
  expect(() => placeInMemory(named, { ...libc, ...refusal })).toThrow(said);
  expect(openMemoryFiles()).toEqual([]);
});

/** The descriptor that reads the list is closed by then. */
function linkOf(descriptor: string): string {
  try {
    return readlinkSync(`/proc/self/fd/${descriptor}`);
  } catch {
    return "";
  }
}
