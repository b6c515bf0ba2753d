/** What a build says about itself. */
import { join } from "node:path";
import { version } from "../../package.json" with { type: "json" };
import type { Platform } from "./platform.ts";

/** Versions of what is inside, and where it came from. */
export interface BuildFacts {
  readonly version: string;
  readonly commit: string;
  readonly bun: string;
  readonly onnxruntime: string;
  readonly libvips: string;
}

/**
 * Reads the facts of a source tree.
 *
 * @param root absolute path of the repository.
 * @throws Error if a native package is not installed.
 */
export async function readFacts(root: string, { arch, modules }: Platform): Promise<BuildFacts> {
  const [commit, onnxruntime, libvips] = await Promise.all([
    readCommit(root),
    Bun.file(join(modules, "onnxruntime-node/package.json")).json(),
    Bun.file(join(modules, `@img/sharp-libvips-linux-${arch}/versions.json`)).json(),
  ]);
  return {
    version,
    commit,
    bun: Bun.version,
    onnxruntime: String(onnxruntime.version),
    libvips: String(libvips.vips),
  };
}

/**
 * @returns the commit that is checked out, with `-dirty` behind it if a file differs from it; `unknown`
 * without git, or where the repository is not the root.
 */
async function readCommit(root: string): Promise<string> {
  const [place, changes] = await Promise.all([
    git(root, "rev-parse", "--show-cdup", "HEAD"),
    git(root, "status", "--porcelain"),
  ]);
  // The way up to the repository's root is empty at the root.
  const commit = /^\n([0-9a-f]{40,})\n$/.exec(place ?? "")?.[1];
  if (commit === undefined) return "unknown";
  return changes === "" ? commit : `${commit}-dirty`;
}

/** Seconds since 1970 at which the commit was made; 0 without git. */
export async function readCommitTime(root: string): Promise<number> {
  if ((await readCommit(root)) === "unknown") return 0;
  return Number((await git(root, "log", "-1", "--format=%ct")) ?? 0);
}

/** @returns what git prints; undefined if it fails or is not there. */
async function git(root: string, ...args: readonly string[]): Promise<string | undefined> {
  try {
    const run = Bun.spawn(["git", "-C", root, ...args], { stdout: "pipe", stderr: "ignore" });
    const [text, code] = await Promise.all([run.stdout.text(), run.exited]);
    return code === 0 ? text : undefined;
  } catch {
    return undefined;
  }
}
