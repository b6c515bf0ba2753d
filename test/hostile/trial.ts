/** Puts hostile files to real workers, several at a time, and collects what they should not have done. */
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { type Child, startChild } from "../bench/child.ts";
import { peakGrowth } from "../bench/process-usage.ts";
import type { HostileFile } from "./corpus.ts";
import type { TrialAnswer, TrialQuestion } from "./trial-child.ts";

/** A file that did what none should. */
export interface Finding {
  readonly file: HostileFile;
  /** One sentence. */
  readonly fault: string;
}

/** What became of one file. */
export interface Tried {
  readonly file: HostileFile;
  /** `vector`, a problem's code, or `none`. */
  readonly verdict: string;
  /** With all that is done to a file: it is embedded from memory, and prepared from disk. */
  readonly ms: number;
  /** By how many bytes the process grew at most meanwhile; 0 if it is gone. */
  readonly grownBytes: number;
}

export interface TrialOptions {
  /** Most files that are tried. */
  readonly runs: number;
  /** Processes at work at once, each with one worker. */
  readonly processes: number;
  /** ms that one file may take. */
  readonly deadlineMs: number;
  readonly onTried?: (tried: Tried) => void;
}

/** Tries each file once. A process that dies or hangs is a finding too, and another takes its place. */
export async function tryFiles(
  files: AsyncIterable<HostileFile>,
  { runs, processes, deadlineMs, onTried = () => {} }: TrialOptions,
): Promise<readonly Finding[]> {
  const findings: Finding[] = [];
  let left = runs;
  const queue = files[Symbol.asyncIterator]();
  const work = async () => {
    let seat = await startSeat();
    while (left > 0) {
      left -= 1;
      const next = await queue.next();
      if (next.done) break;
      const { tried, fault, isLost } = await tryFile(seat.child, next.value, deadlineMs);
      onTried(tried);
      if (fault !== undefined) findings.push({ file: next.value, fault });
      if (isLost) {
        await seat[Symbol.asyncDispose]();
        seat = await startSeat();
      }
    }
    await seat[Symbol.asyncDispose]();
  };
  await Promise.all(Array.from({ length: processes }, work));
  return findings;
}

/** A process, and the folder that it works in. */
async function startSeat() {
  const folder = await mkdtemp(join(tmpdir(), "imagesvc-hostile-"));
  const script = fileURLToPath(new URL("trial-child.ts", import.meta.url));
  const child = startChild<TrialQuestion, TrialAnswer>({ args: [script, folder] });
  return {
    child,
    [Symbol.asyncDispose]: async () => {
      await child[Symbol.asyncDispose]();
      await rm(folder, { recursive: true });
    },
  };
}

/** What the process says of a file, or what became of the process. */
async function tryFile(
  child: Child<TrialQuestion, TrialAnswer>,
  file: HostileFile,
  deadlineMs: number,
): Promise<{
  readonly tried: Tried;
  readonly fault: string | undefined;
  readonly isLost: boolean;
}> {
  const startedMs = performance.now();
  const late = Promise.withResolvers<never>();
  const why = `there was no answer within ${deadlineMs / 1000} s`;
  const timer = setTimeout(() => late.reject(new Error(why)), deadlineMs);
  try {
    let answer: TrialAnswer = { verdict: "none" };
    const grownBytes = await peakGrowth(child.pid, async () => {
      answer = await Promise.race([child.ask(file.bytes), late.promise]);
    });
    const tried = { file, verdict: answer.verdict, ms: performance.now() - startedMs, grownBytes };
    return { tried, fault: answer.fault, isLost: false };
  } catch (error) {
    const tried = { file, verdict: "none", ms: performance.now() - startedMs, grownBytes: 0 };
    return { tried, fault: String(error), isLost: true };
  } finally {
    clearTimeout(timer);
  }
}
