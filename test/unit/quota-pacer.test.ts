import { describe, expect, test } from "bun:test";
import { createQuotaPacer, type QuotaPacer, type Turn } from "../../src/backends/quota-pacer.ts";
import { createStartQuota } from "../../src/backends/start-quota.ts";
import { Problem } from "../../src/errors.ts";
import { createFakeClock } from "../support/fake-clock.ts";

function setUp({ maxStarts = 3, maxConcurrent = 100, maxWaiting = 100 } = {}) {
  const clock = createFakeClock("wait");
  const quota = createStartQuota({ maxStarts, windowMs: 60_000, random: () => 0.5 });
  const pacer = createQuotaPacer({ quota, maxConcurrent, maxWaiting, clock });
  const zero = clock.now();
  /** Milliseconds at which turns came, or the codes of problems, in the order in which they came. */
  const log: (number | string)[] = [];
  const ask = async (timeoutMs = 600_000, signal = new AbortController().signal) => {
    const deadline = clock.now() + timeoutMs;
    const turn = await pacer.turn({ deadline: () => deadline, signal });
    log.push(turn instanceof Problem ? turn.code : turn.startedAt - zero);
    return turn;
  };
  return { clock, pacer, ask, log };
}

function turnOf(outcome: Turn | Problem): Turn {
  if (outcome instanceof Problem) throw outcome;
  return outcome;
}

/** Takes a turn and reports that the upstream refused it for the quota. */
async function takeAndSlowDown(pacer: QuotaPacer, ask: () => Promise<Turn | Problem>) {
  const turn = turnOf(await ask());
  const problem = pacer.slowDown(turn, 0);
  turn.release();
  return problem;
}

describe("a pacer", () => {
  test("lets a burst in at once, and the rest as the window slides", async () => {
    const { clock, ask, log } = setUp();
    const all = Promise.all([ask(), ask()]);
    await clock.advance(10_000);
    const more = Promise.all([ask(), ask(), ask(), ask()]);
    await clock.advance(1_000_000);
    await Promise.all([all, more]);
    expect(log).toEqual([0, 0, 10_000, 60_000, 60_000, 70_000]);
  });

  test("refuses at once who cannot start in time, and lets others have the place", async () => {
    const { clock, ask, log } = setUp({ maxStarts: 1 });
    const all = Promise.all([ask(), ask(60_000), ask(60_001), ask(120_000), ask(120_001)]);
    await clock.advance(0);
    expect(log.toSorted()).toEqual([0, "upstream-rate-limited", "upstream-rate-limited"]);
    await clock.advance(120_000);
    await all;
    expect(log.slice(-2)).toEqual([60_000, 120_000]);
  });

  test("keeps no more calls under way than it may", async () => {
    const { clock, ask, log } = setUp({ maxConcurrent: 1 });
    const first = turnOf(await ask());
    const second = ask();
    await clock.advance(5_000);
    expect(log).toEqual([0]);
    first.release();
    first.release();
    const third = ask();
    await clock.advance(5_000);
    expect(log).toEqual([0, 5_000]);
    turnOf(await second).release();
    await third;
    expect(log).toEqual([0, 5_000, 10_000]);
  });

  test("keeps no longer a queue than it may", async () => {
    const { clock, ask, pacer } = setUp({ maxStarts: 1, maxWaiting: 1, maxConcurrent: 1 });
    turnOf(await ask()).release();
    const waits = ask();
    expect(await ask()).toMatchObject({ code: "overloaded", retryAfterS: 120 });
    expect(pacer.refusal(2, Number.POSITIVE_INFINITY)).toMatchObject({ code: "overloaded" });
    await clock.advance(60_000);
    expect(turnOf(await waits).startedAt).toBe(clock.now());
  });

  test("forgets who leaves the queue", async () => {
    const { clock, ask, log } = setUp({ maxStarts: 1 });
    await ask();
    const caller = new AbortController();
    const leaves = ask(600_000, caller.signal);
    const stays = ask();
    caller.abort(new Error("left"));
    expect(leaves).rejects.toThrow("left");
    await clock.advance(60_000);
    await stays;
    expect(log).toEqual([0, 60_000]);
  });

  test("gives no turn to who has left already", () => {
    expect(setUp().ask(1_000, AbortSignal.abort(new Error("left")))).rejects.toThrow("left");
  });
});

describe("after a refusal by the upstream, a pacer", () => {
  test("pauses everybody, longer every time", async () => {
    const { clock, pacer, ask, log } = setUp({ maxStarts: 40 });
    expect(await takeAndSlowDown(pacer, ask)).toMatchObject({ retryAfterS: 3 });
    const second = takeAndSlowDown(pacer, ask);
    await clock.advance(2_250);
    expect(await second).toMatchObject({ retryAfterS: 5 });
    const third = Promise.all([ask(), ask()]);
    await clock.advance(100_000);
    await third;
    expect(log).toEqual([0, 2_250, 6_750, 9_750]);
  });

  test("takes refusals of calls that were under way together for one", async () => {
    const { pacer, ask } = setUp({ maxStarts: 40 });
    const turns = (await Promise.all([ask(), ask(), ask()])).map(turnOf);
    const problems = turns.map((turn) => pacer.slowDown(turn, 0));
    expect(problems.map(({ retryAfterS }) => retryAfterS)).toEqual([3, 3, 3]);
  });

  test("sends away who waits when the pause reaches beyond the deadline", async () => {
    const { clock, pacer, ask, log } = setUp({ maxStarts: 2 });
    const [first] = await Promise.all([ask(), ask()]);
    const waits = ask(70_000);
    await clock.advance(1_000);
    expect(log).toEqual([0, 0]);
    pacer.slowDown(turnOf(first), 90_000);
    await waits;
    expect(log.at(-1)).toBe("upstream-rate-limited");
  });

  test("returns to full speed after some successes", async () => {
    const { clock, pacer, ask, log } = setUp({ maxStarts: 40 });
    await takeAndSlowDown(pacer, ask);
    for (let success = 0; success < 30; success++) pacer.speedUp();
    await clock.advance(10_000);
    await Promise.all([ask(), ask()]);
    expect(log).toEqual([0, 10_000, 10_000]);
  });
});
