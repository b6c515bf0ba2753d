import { expect, test } from "bun:test";
import { mkdir } from "node:fs/promises";
import { join } from "node:path";
import { readCommitTime, readFacts } from "../../src/release/facts.ts";
import { hostPlatform } from "../../src/release/platform.ts";
import { temporaryFolder } from "../support/tiny-clip.ts";

/** Runs git as nobody in particular, at a known time. */
async function git(folder: string, ...args: readonly string[]): Promise<string> {
  const child = Bun.spawn(["git", "-C", folder, ...args], {
    env: {
      PATH: Bun.env["PATH"] ?? "",
      GIT_CONFIG_GLOBAL: "/dev/null",
      GIT_AUTHOR_NAME: "a",
      GIT_AUTHOR_EMAIL: "a@example.org",
      GIT_COMMITTER_NAME: "a",
      GIT_COMMITTER_EMAIL: "a@example.org",
      GIT_COMMITTER_DATE: "1600000000 +0000",
    },
    stdout: "pipe",
    stderr: "pipe",
  });
  const [text, said, code] = await Promise.all([
    child.stdout.text(),
    child.stderr.text(),
    child.exited,
  ]);
  if (code !== 0) throw new Error(said);
  return text.trim();
}

async function commitOf(folder: string): Promise<string> {
  return (await readFacts(folder, hostPlatform())).commit;
}

test("the commit is the one that is checked out, and says when a file differs from it", async () => {
  await using folder = await temporaryFolder();
  const { path } = folder;
  await git(path, "init", "--quiet");
  await Bun.write(join(path, "file"), "one");
  await git(path, "add", "file");
  await git(path, "commit", "--quiet", "--message=one");
  const commit = await git(path, "rev-parse", "HEAD");
  expect(await commitOf(path)).toBe(commit);
  expect(await readCommitTime(path)).toBe(1_600_000_000);

  await Bun.write(join(path, "file"), "two");
  expect(await commitOf(path)).toBe(`${commit}-dirty`);
  await git(path, "checkout", "--quiet", "file");
  await Bun.write(join(path, "another"), "");
  expect(await commitOf(path)).toBe(`${commit}-dirty`);
});

test("somebody else's repository around the sources is not theirs", async () => {
  await using folder = await temporaryFolder();
  await git(folder.path, "init", "--quiet");
  await git(folder.path, "commit", "--quiet", "--allow-empty", "--message=one");
  const inside = join(folder.path, "inside");
  await mkdir(inside);
  expect(await commitOf(inside)).toBe("unknown");
  expect(await readCommitTime(inside)).toBe(0);
});

test("without git the commit is unknown, and everything of 1970", async () => {
  await using folder = await temporaryFolder();
  expect(await commitOf(folder.path)).toBe("unknown");
  expect(await readCommitTime(folder.path)).toBe(0);
});

test("the versions are those of the installed packages", async () => {
  const { bun, onnxruntime, libvips } = await readFacts("/", hostPlatform());
  expect(bun).toBe(Bun.version);
  expect(onnxruntime).toMatch(/^1\.\d+\.\d+$/);
  expect(libvips).toMatch(/^8\.\d+\.\d+$/);
});
