/** What is wanted under overload, and whether it was so. */
import { settings } from "../../src/config.ts";
import { countMissed, goodput, takenMs } from "./open-loop.ts";
import type { LoadRun } from "./overload-run.ts";
import { percentile } from "./statistics.ts";

/** One thing that is wanted. */
export interface Verdict {
  readonly isMet: boolean;
  /** What was seen, and what is wanted. */
  readonly text: string;
}

const wanted = {
  goodputOfFirst: 0.9,
  deadlineMs: settings.REQUEST_TIMEOUT_MS.fallback,
  refusalMs: 50,
  residentOfStart: 1.05,
} as const;

/**
 * Judges the loads of one table.
 *
 * @param runs the first of them at 1×.
 */
export function judgeOverload(runs: readonly [LoadRun, ...LoadRun[]]): readonly Verdict[] {
  return [
    judgeGoodput(runs),
    judgeTimes(runs),
    judgeRefusals(runs),
    judgeResident(runs),
    judgeMissed(runs),
  ];
}

/** Of the load under which least was embedded. */
function judgeGoodput([first, ...others]: readonly [LoadRun, ...LoadRun[]]): Verdict {
  const worst = others.toSorted((a, b) => goodput(a) - goodput(b))[0] ?? first;
  const kept = goodput(worst) / goodput(first);
  const perCore = kept * (first.cores.service / worst.cores.service);
  const ofSent = (goodput(first) * first.forMs) / (first.offered * 1000);
  return {
    isMet: kept >= wanted.goodputOfFirst,
    text: `least embedded, at ${worst.multiple}×, over 1×: ${kept.toFixed(2)} (for each core that the service got: ${perCore.toFixed(2)}; at 1× in time ${ofSent.toFixed(2)} of what was sent); wanted: at least ${wanted.goodputOfFirst}`,
  };
}

function judgeTimes(runs: readonly LoadRun[]): Verdict {
  const slowest = Math.max(
    ...runs
      .map(takenMs)
      .map((ms) => (ms.length === 0 ? Number.POSITIVE_INFINITY : percentile(ms, 99))),
  );
  const shown = Number.isFinite(slowest) ? `${slowest.toFixed(0)} ms at most` : "never answered";
  return {
    isMet: slowest < wanted.deadlineMs,
    text: `p99 of all that was not refused: ${shown}; wanted: under its deadline of ${wanted.deadlineMs} ms`,
  };
}

/** From the scheduled time, as the client sees it: what the generator itself is late counts too. */
function judgeRefusals(runs: readonly LoadRun[]): Verdict {
  const longest = longestOf(runs, ({ refusedMs }) => refusedMs);
  const byService = longestOf(runs, ({ refusedServerMs }) => refusedServerMs);
  const late = longestOf(runs, ({ lateMs }) => lateMs);
  return {
    isMet: longest <= wanted.refusalMs,
    text: `longest refusal: ${longest.toFixed(1)} ms (by the service's clock ${byService.toFixed(1)}; a request was sent ${late.toFixed(1)} late at most); wanted: every one within ${wanted.refusalMs} ms`,
  };
}

function judgeResident(runs: readonly [LoadRun, ...LoadRun[]]): Verdict {
  const [start] = runs[0].resident;
  const end = runs.at(-1)?.resident[2] ?? Number.POSITIVE_INFINITY;
  return {
    isMet: end <= wanted.residentOfStart * start,
    text: `resident at the end over the start: ${(end / start).toFixed(3)}; wanted: at most ${wanted.residentOfStart}`,
  };
}

function judgeMissed(runs: readonly LoadRun[]): Verdict {
  const missed = runs.map(countMissed).reduce((sum, count) => sum + count, 0);
  return { isMet: missed === 0, text: `neither embedded nor refused: ${missed}; wanted: none` };
}

function longestOf(runs: readonly LoadRun[], of: (run: LoadRun) => readonly number[]): number {
  return runs.flatMap(of).reduce((a, b) => Math.max(a, b), 0);
}
