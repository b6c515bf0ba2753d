/** Clocks that tests own. */
import type { Clock } from "../../src/backends/clock.ts";

interface Sleeper {
  readonly wakesAt: number;
  readonly wake: () => void;
}

export interface FakeClock extends Clock {
  /** Lets time pass, and wakes in order whoever sleeps until then. */
  advance(ms: number): Promise<void>;
  /** What has been slept for so far, in ms. */
  readonly slept: readonly number[];
}

/**
 * Makes a clock that stands at `performance.now()` until it is advanced.
 *
 * @param onSleep `skip` makes every sleep end at once, the clock jumping ahead to its end.
 */
export function createFakeClock(onSleep: "wait" | "skip"): FakeClock {
  let now = Math.ceil(performance.now());
  let sleepers: readonly Sleeper[] = [];
  const slept: number[] = [];

  /** Far enough for every promise that is already settled to be acted upon. */
  const settle = () => new Promise<void>((resolve) => setImmediate(resolve));

  async function advance(ms: number): Promise<void> {
    await settle();
    const until = now + ms;
    for (;;) {
      const next = sleepers.toSorted((a, b) => a.wakesAt - b.wakesAt)[0];
      if (next === undefined || next.wakesAt > until) break;
      now = Math.max(now, next.wakesAt);
      next.wake();
      await settle();
    }
    now = until;
    await settle();
  }

  function sleep(ms: number, signal: AbortSignal): Promise<void> {
    const { promise, resolve, reject } = Promise.withResolvers<void>();
    const leave = () => {
      sleepers = sleepers.filter((one) => one !== sleeper);
      signal.removeEventListener("abort", stop);
    };
    const stop = () => {
      leave();
      reject(signal.reason);
    };
    const wake = () => {
      leave();
      slept.push(ms);
      resolve();
    };
    const sleeper: Sleeper = { wakesAt: now + ms, wake };
    sleepers = [...sleepers, sleeper];
    signal.addEventListener("abort", stop, { once: true });
    if (signal.aborted) stop();
    else if (onSleep === "skip") setImmediate(() => skipTo(sleeper));
    return promise;
  }

  function skipTo(sleeper: Sleeper): void {
    if (!sleepers.includes(sleeper)) return;
    now = Math.max(now, sleeper.wakesAt);
    sleeper.wake();
  }

  return { now: () => now, sleep, advance, slept };
}
