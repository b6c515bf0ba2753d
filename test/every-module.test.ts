import { expect, test } from "bun:test";
import { join } from "node:path";
import { readSourceFiles, repositoryRoot } from "./support/source-files.ts";

/** piscina's thread: it wants to be in one, and fails on the main thread. */
const notHere = ["workers/pool-worker.ts"];

const files = await readSourceFiles(["src", "workers"]);
const paths = files.map(({ path }) => path).filter((path) => !notHere.includes(path));

// Coverage counts only what a test has loaded; so nothing can hide from it by being untested.
test.each(paths)("%s can be imported, which starts nothing", async (path) => {
  const before = process.listenerCount("SIGTERM") + process.listenerCount("exit");
  await import(join(repositoryRoot, path));
  expect(process.listenerCount("SIGTERM") + process.listenerCount("exit")).toBe(before);
});
