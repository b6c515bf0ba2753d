/** The queue in front of somebody else's quota: bounded, first come first served, no hopeless waits. */
import { Problem } from "../errors.ts";
import type { Clock } from "./clock.ts";
import type { StartQuota } from "./start-quota.ts";

interface PacerOptions {
  readonly quota: StartQuota;
  /** Calls under way at once. */
  readonly maxConcurrent: number;
  /** Calls that may wait for their turn. */
  readonly maxWaiting: number;
  readonly clock: Clock;
}

/** Somebody who wants to make a call. */
export interface Claim {
  /** `Clock.now()` by which the call must have started; it may grow while the claim waits. */
  readonly deadline: () => number;
  readonly signal: AbortSignal;
}

/** The right to make one call. */
export interface Turn {
  /** `Clock.now()` of its start. */
  readonly startedAt: number;
  /** Must be called when the call is over; a second time it does nothing. */
  readonly release: () => void;
}

export interface QuotaPacer {
  /**
   * Waits.
   *
   * @returns a turn, or the problem as soon as it is known that none comes before the deadline.
   * @throws the signal's reason when it aborts first.
   */
  turn(claim: Claim): Promise<Turn | Problem>;
  /** The problem that the last of `calls` further calls would meet, if it must start before `deadline`. */
  refusal(calls: number, deadline: number): Problem | undefined;
  /**
   * Tells that a call was refused for the quota: everybody pauses, then goes on more slowly.
   *
   * @returns the problem of a caller who does not try again.
   */
  slowDown(turn: Turn, atLeastMs: number): Problem;
  /** Tells that a call was served. */
  speedUp(): void;
  /** Sends everybody who waits away with this problem. */
  refuseWaiting(problem: Problem): void;
}

interface Waiting extends Claim {
  readonly settle: (outcome: Turn | Problem) => void;
}

/** Makes a pacer with an empty queue. */
export function createQuotaPacer(options: PacerOptions): QuotaPacer {
  const { quota, maxConcurrent, maxWaiting, clock } = options;
  const waiting: Waiting[] = [];
  let active = 0;
  let alarm = new AbortController();

  /** When the last of `calls` further calls would start, if none had to wait for another's end. */
  function forecast(calls: number): number {
    const planned: number[] = [];
    while (planned.length < waiting.length + calls) planned.push(quota.next(clock.now(), planned));
    return planned.at(-1) ?? clock.now();
  }

  /** Sends away who cannot start in time, lets in who may start now, sets the alarm for the next. */
  function pump(): void {
    alarm.abort();
    refuseLate();
    for (let next = waiting[0]; next && active < maxConcurrent; next = waiting[0]) {
      const now = clock.now();
      const startsAt = quota.next(now);
      if (startsAt > now) {
        setAlarm(startsAt - now);
        break;
      }
      quota.record(now);
      active += 1;
      next.settle({ startedAt: now, release: createRelease() });
    }
  }

  function refuseLate(): void {
    const now = clock.now();
    const planned: number[] = [];
    for (const one of [...waiting]) {
      const startsAt = quota.next(now, planned);
      if (startsAt < one.deadline()) planned.push(startsAt);
      else one.settle(quotaUsedUp(startsAt - now));
    }
  }

  function createRelease(): () => void {
    let isOver = false;
    return () => {
      if (isOver) return;
      isOver = true;
      active -= 1;
      pump();
    };
  }

  function setAlarm(afterMs: number): void {
    alarm = new AbortController();
    clock.sleep(afterMs, alarm.signal).then(pump, () => {});
  }

  return {
    async turn(claim) {
      claim.signal.throwIfAborted();
      if (waiting.length >= maxWaiting) return queueFull(forecast(1) - clock.now());
      const outcome = waitInLine(waiting, claim, pump);
      pump();
      return outcome;
    },
    refusal(calls, deadline) {
      const startsAt = forecast(calls);
      const inMs = startsAt - clock.now();
      if (waiting.length + calls > maxWaiting + maxConcurrent) return queueFull(inMs);
      return startsAt < deadline ? undefined : quotaUsedUp(inMs);
    },
    slowDown(turn, atLeastMs) {
      quota.slowDown(clock.now(), turn.startedAt, atLeastMs);
      pump();
      return quotaUsedUp(forecast(1) - clock.now());
    },
    speedUp: () => quota.speedUp(),
    refuseWaiting(problem) {
      for (const one of [...waiting]) one.settle(problem);
    },
  };
}

/** Stands at the end of the line until settled, or until the claim's signal aborts: then `onLeave` runs. */
function waitInLine(line: Waiting[], claim: Claim, onLeave: () => void): Promise<Turn | Problem> {
  const { promise, resolve, reject } = Promise.withResolvers<Turn | Problem>();
  const stepOut = () => {
    line.splice(line.indexOf(one), 1);
    claim.signal.removeEventListener("abort", leave);
  };
  const leave = () => {
    stepOut();
    reject(claim.signal.reason);
    onLeave();
  };
  const settle = (outcome: Turn | Problem) => {
    stepOut();
    resolve(outcome);
  };
  const one: Waiting = { ...claim, settle };
  line.push(one);
  claim.signal.addEventListener("abort", leave, { once: true });
  return promise;
}

function quotaUsedUp(startsInMs: number): Problem {
  const retryAfterS = wholeSeconds(startsInMs);
  return new Problem(
    "upstream-rate-limited",
    `NVIDIA's quota is used up for now; try again in ${retryAfterS} s, or send fewer images at a time.`,
    { retryAfterS },
  );
}

function queueFull(startsInMs: number): Problem {
  return new Problem(
    "overloaded",
    "Too many images wait for NVIDIA's model already; send fewer at a time.",
    { retryAfterS: wholeSeconds(startsInMs) },
  );
}

function wholeSeconds(ms: number): number {
  return Math.max(1, Math.ceil(ms / 1000));
}
