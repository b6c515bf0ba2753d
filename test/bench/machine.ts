/** What a figure was taken on. */
import { availableParallelism, cpus, loadavg, totalmem } from "node:os";
import { dependencies, version } from "../../package.json" with { type: "json" };
import { defaultModel } from "../support/default-model.ts";
import { repositoryRoot } from "../support/source-files.ts";

/** The service and what it stands on, with versions. */
export function describeLibraries(): string {
  const { elysia, sharp, "onnxruntime-node": onnxruntime } = dependencies;
  return `imagesvc ${version}, bun ${Bun.version}, elysia ${elysia}, onnxruntime-node ${onnxruntime}, sharp ${sharp}`;
}

/** Processor, cores and memory. */
export function describeMachine(): string {
  const gib = Math.round(totalmem() / 1024 ** 3);
  return `${cpus()[0]?.model ?? "unknown processor"}, ${availableParallelism()} cores, ${gib} GiB, load before ${loadavg()[0]?.toFixed(2)}`;
}

/** The same and when, of which commit and with which model, as a line under a figure. */
export async function describeRun(): Promise<string> {
  const when = new Date().toISOString().slice(0, 16).replace("T", " ");
  return `<sub>${when} UTC, commit ${await describeCommit()}; ${describeLibraries()}; ${describeMachine()}; ${defaultModel.id}, synthetic weights</sub>`;
}

/** The commit; nothing is known of one where git is not. */
async function describeCommit(): Promise<string> {
  const git = async (...args: readonly string[]): Promise<string | undefined> => {
    if (Bun.which("git") === null) return undefined;
    const child = Bun.spawn(["git", ...args], {
      cwd: repositoryRoot,
      stdout: "pipe",
      stderr: "ignore",
    });
    const text = await child.stdout.text();
    return (await child.exited) === 0 ? text.trim() : undefined;
  };
  const commit = await git("rev-parse", "--short", "HEAD");
  if (commit === undefined) return "unknown";
  const changed = await git("status", "--porcelain", "--", "src", "workers", "test/bench");
  return changed === "" ? commit : `${commit} with changes`;
}
