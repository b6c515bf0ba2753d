import { expect, test } from "bun:test";
import { parseConfig } from "../../src/config.ts";
import { foldersOf } from "../../src/store/folders.ts";

/** The folders of a user whose temporary folder is `/tmp`. */
function folders(settings: Record<string, string>, environment: Record<string, string> = {}) {
  const parsed = parseConfig(settings);
  if ("faults" in parsed) throw new Error(parsed.faults.join());
  return foldersOf(parsed.config, { environment, temporary: "/tmp", userId: 1000 });
}

test("each folder's own setting wins", () => {
  const own = { MODELS_DIR: "/m", DOWNLOADS_DIR: "/d", CACHE_DIR: "/c" };
  const systemd = { STATE_DIRECTORY: "/state", CACHE_DIRECTORY: "/cache" };
  expect(folders(own, systemd)).toEqual({ models: "/m", downloads: "/d", cache: "/c" });
});

test("then the first of systemd's", () => {
  const systemd = { STATE_DIRECTORY: "/state:/other", CACHE_DIRECTORY: "/cache:/other" };
  expect(folders({}, systemd)).toEqual({
    models: "/state/models",
    downloads: "/state/downloads",
    cache: "/cache",
  });
});

test("then the working folder, and the user's cache folder", () => {
  const cacheOf = (environment: Record<string, string>) => folders({}, environment).cache;
  expect(folders({}, { STATE_DIRECTORY: "", HOME: "/ada" })).toEqual({
    models: "models",
    downloads: "downloads",
    cache: "/ada/.cache/imagesvc",
  });
  expect(cacheOf({ HOME: "/ada", XDG_CACHE_HOME: "/x" })).toBe("/x/imagesvc");
  expect(cacheOf({ HOME: "/ada", XDG_CACHE_HOME: "x" })).toBe("/ada/.cache/imagesvc");
  expect(cacheOf({})).toBe("/tmp/imagesvc-1000");
});
