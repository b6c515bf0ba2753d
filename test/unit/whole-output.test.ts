/** What is printed into a pipe that is full comes through it once, and whole. */
import { expect, test } from "bun:test";
import { open } from "node:fs/promises";
import { join } from "node:path";
import { writeAll } from "../../src/cli/whole-output.ts";
import { repositoryRoot } from "../support/source-files.ts";
import { temporaryFolder } from "../support/tiny-clip.ts";

/** Several times what a pipe holds, in pieces that it holds and in ones that it does not. */
const sizes = [5000, 60_000, 100_000, 300_000, 1, 150_000];

/** Writes pieces of `sizes`, each of its own letter, once something has made the pipe non-blocking. */
const writer = `
  import { writeAll } from "./src/cli/whole-output.ts";
  process.stdout.isTTY;
  for (const [index, size] of [${sizes}].entries()) {
    await writeAll(1, new Uint8Array(size).fill(97 + index));
  }`;

test.each(["cat", "(sleep 0.3; cat)", "(while head -c 10000 | grep . ; do sleep 0.01; done)"])(
  "whole, read by %s",
  async (reader) => {
    const script = `"$0" -e '${writer}' | ${reader}`;
    const child = Bun.spawn(["bash", "-c", script, process.execPath], {
      cwd: repositoryRoot,
      stdout: "pipe",
    });
    const text = (await child.stdout.text()).replaceAll("\n", "");
    const pieces = text.match(/(.)\1*/g) ?? [];
    expect(pieces.map((piece) => piece.length)).toEqual(sizes);
  },
);

test("a disk that is full is an error with its code", async () => {
  await using full = await open("/dev/full", "w");
  await expect(writeAll(full.fd, new Uint8Array(10))).rejects.toMatchObject({ code: "ENOSPC" });
});

test("nothing is written of nothing", async () => {
  await using folder = await temporaryFolder();
  await using file = await open(join(folder.path, "empty"), "w");
  await writeAll(file.fd, new Uint8Array());
  expect((await file.stat()).size).toBe(0);
});
