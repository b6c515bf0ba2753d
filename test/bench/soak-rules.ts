/** What a soak must keep to, in words for whoever reads its output, and whether it did. */
import type { KindTally } from "./soak-child.ts";

/** What the service holds at one moment, or in the middle of one minute. */
export interface Sample {
  readonly residentMb: number;
  readonly descriptors: number;
  readonly threads: number;
}

/** All that was seen of the service. */
export interface SoakSamples {
  readonly idleBefore: Sample;
  /** Medians of each minute under load. */
  readonly byMinute: readonly Sample[];
  readonly idleAfter: Sample;
}

/** Minutes until everything that grows once has grown. */
const warmUpMinutes = 5;
const maxGrowth = 0.05;
const maxRefused = 0.05;
/** Some descriptors stay with what has come into being meanwhile, and some threads come and go. */
const maxMoreIdle = { descriptors: 8, threads: 3 };
/** Connections come and go by tens, with the bursts of the load. */
const maxMoreUnderLoad = { descriptors: 40, threads: 3 };

/** The rules, as they are judged. @throws RangeError when so few minutes cannot be. */
export function describeSoakRules(minutes: number): readonly string[] {
  const base = baseMinute(minutes) + 1;
  return [
    `rule: resident memory, the median of the last minute is at most ${100 * maxGrowth} % over that of minute ${base}`,
    `rule: descriptors and threads, the same two minutes: at most ${maxMoreUnderLoad.descriptors} and ${maxMoreUnderLoad.threads} more; idle after over idle before: at most ${maxMoreIdle.descriptors} and ${maxMoreIdle.threads} more`,
    `rule: at most ${100 * maxRefused} % of the good requests for vectors get 503, and no kind of request gets nothing else`,
    "rule: every other answer is the one that its request must get, every kept file is whole, nothing is logged as an error",
  ];
}

/** What the service held too much of. */
export function* growthFaults({ idleBefore, byMinute, idleAfter }: SoakSamples): Generator<string> {
  const before = byMinute[baseMinute(byMinute.length)];
  const after = byMinute.at(-1);
  if (before === undefined || after === undefined) return;
  if (after.residentMb > (1 + maxGrowth) * before.residentMb) {
    yield `resident memory grew from ${before.residentMb} to ${after.residentMb} MB under load`;
  }
  for (const what of ["descriptors", "threads"] as const) {
    const moreUnderLoad = after[what] - before[what];
    if (moreUnderLoad > maxMoreUnderLoad[what]) yield `${moreUnderLoad} more ${what} under load`;
    const moreIdle = idleAfter[what] - idleBefore[what];
    if (moreIdle > maxMoreIdle[what]) yield `${moreIdle} more ${what} when idle`;
  }
}

/** Which requests were refused too often: a service that refuses everything grows by nothing. */
export function* refusalFaults(kinds: Readonly<Record<string, KindTally>>): Generator<string> {
  const share = refusedShare(kinds);
  // Not `>`: it is NaN when there was no answer at all.
  if (!(share <= maxRefused)) {
    yield `503 to ${(100 * share).toFixed(1)} % of the good requests for vectors`;
  }
  for (const [name, { answered, refused }] of Object.entries(kinds)) {
    if (answered === refused) yield `${name}: no answer but 503, ${refused} times`;
  }
}

/** Of the good requests for vectors, how many got 503: 0 to 1. */
export function refusedShare(kinds: Readonly<Record<string, KindTally>>): number {
  const good = Object.values(kinds).filter(({ isGood }) => isGood);
  const sum = (of: (kind: KindTally) => number) => good.reduce((all, kind) => all + of(kind), 0);
  return sum(({ refused }) => refused) / sum(({ answered }) => answered);
}

/**
 * Index of the minute that the last one is compared with: the first after the warm-up, which a short run has shorter.
 *
 * @throws RangeError when no two minutes can be compared.
 */
function baseMinute(minutes: number): number {
  if (!(minutes >= 2)) throw new RangeError("the soak is too short: it needs two minutes");
  return Math.min(warmUpMinutes, (minutes >> 1) - 1);
}
