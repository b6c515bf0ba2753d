/** Asks NVIDIA for embeddings: what all calls share is their quota, their faults and their retries. */
import { Problem } from "../errors.ts";
import type { Log } from "../log.ts";
import type { Observer } from "../observer.ts";
import type { Embedding } from "./backend.ts";
import { createCircuitBreaker } from "./circuit-breaker.ts";
import type { Clock } from "./clock.ts";
import type { Audience } from "./joined-work.ts";
import {
  type Call,
  type CallEnd,
  type CallOptions,
  createCall,
  type Question,
} from "./nv-dinov2-call.ts";
import { createQuotaPacer, type Turn } from "./quota-pacer.ts";
import { createStartQuota } from "./start-quota.ts";

interface ClientOptions extends CallOptions {
  /** Requests that the key may make in any minute. */
  readonly requestsPerMinute: number;
  readonly log: Log;
  readonly observer?: Observer | undefined;
  readonly clock: Clock;
  /** Uniform in [0, 1). */
  readonly random: () => number;
}

export interface NvDinov2Client {
  /** What is wrong for every call with this key; undefined when nothing is known. */
  fault(key: string): string | undefined;
  /** The problem that the last of `images` further calls would meet, known before any is made. */
  refusal(key: string, images: number, deadline: number): Problem | undefined;
  /** @throws the signal's reason when nobody waits any more. */
  ask(question: Omit<Question, "requestId">, audience: Audience): Promise<Embedding | Problem>;
}

/** Calls under way at once; more would not be faster under a quota of 40 a minute. */
const maxConcurrent = 8;
const maxWaiting = 256;
/** Attempts after the first. */
const maxRetries = 2;
const firstRetryMs = 500;
/** How often a fault that an operator must mend is looked at again. */
const probeIntervalMs = 60_000;

/**
 * Makes the client. Retries, breaker and pacing are ours rather than cockatiel's: its waits know no
 * deadline and no abort, its breaker cannot say when it closes, and neither takes a clock.
 */
export function createNvDinov2Client(options: ClientOptions): NvDinov2Client {
  const { requestsPerMinute, log, observer, clock, random } = options;
  const call = observedCall(options);
  const breaker = createCircuitBreaker({ probeIntervalMs, now: clock.now });
  const quota = createStartQuota({ maxStarts: requestsPerMinute, windowMs: 60_000, random });
  const pacer = createQuotaPacer({ quota, maxConcurrent, maxWaiting, clock });

  async function ask(question: Omit<Question, "requestId">, audience: Audience) {
    let requestId: string | undefined;
    for (let retries = 0; ; retries++) {
      const askedAt = clock.now();
      const turn = breaker.refusal(question.key) ?? (await pacer.turn(audience));
      if (turn instanceof Problem) return turn;
      observer?.quotaWaited(clock.now() - askedAt);
      const { end, result } = await attempt({ ...question, requestId }, audience, turn, retries);
      const delayMs = firstRetryMs * 2 ** retries * (0.5 + random() / 2);
      const hasTime = clock.now() + delayMs < audience.deadline();
      if (!isTemporary(end) || retries >= maxRetries || !hasTime) return result;
      requestId = end?.requestId;
      // After a 429 the pacer makes everybody wait, this call included.
      if (end?.kind === "transient") await clock.sleep(delayMs, audience.signal);
    }
  }

  /** Makes one call; `end` is missing where the breaker forbade it. */
  async function attempt(question: Question, audience: Audience, turn: Turn, retries: number) {
    try {
      const refusal = breaker.claim(question.key);
      if (refusal) return { end: undefined, result: refusal };
      const end = await call(question, audience);
      report(end, retries);
      return { end, result: conclude(end, question.key, turn) };
    } finally {
      turn.release();
    }
  }

  /** Draws everybody's conclusions from one call. Returns what its caller gets if it ends there. */
  function conclude(end: CallEnd, key: string, turn: Turn): Embedding | Problem {
    if (end.kind === "fault") {
      const problem = breaker.trip(end.fault, key);
      observer?.breakerTurned(true);
      pacer.refuseWaiting(problem);
      return problem;
    }
    // The others show that the key and the model are all right.
    const tellsNothing = end.kind === "transient" || end.kind === "late";
    if (!tellsNothing && breaker.reset()) {
      observer?.breakerTurned(false);
      log.info("nv-dinov2 serves again");
    }
    switch (end.kind) {
      case "embedding":
        pacer.speedUp();
        return end.embedding;
      case "rate-limited":
        return pacer.slowDown(turn, (end.retryAfterS ?? 0) * 1000);
      case "refused":
        return new Problem("upstream-error", end.detail, { cause: end.reason, isPermanent: true });
      case "transient":
        return new Problem("upstream-error", failed, { cause: end.reason });
      case "late":
        return new Problem("upstream-timeout", tooSlow);
      default:
        return end satisfies never;
    }
  }

  function report(end: CallEnd, retries: number): void {
    if (end.kind === "embedding") return;
    log.warn("nv-dinov2 call failed", {
      kind: end.kind,
      reason: "reason" in end ? end.reason : undefined,
      upstream_detail: end.upstreamDetail,
      attempt: retries + 1,
    });
  }

  return {
    ask,
    fault: (key) => breaker.fault(key)?.detail,
    refusal: (key, images, deadline) => breaker.refusal(key) ?? pacer.refusal(images, deadline),
  };
}

/** Makes the function that calls, and tells of every call. */
function observedCall(options: ClientOptions): Call {
  const { observer, clock } = options;
  const call = createCall(options);
  return async (question, audience) => {
    const startedAt = clock.now();
    const end = await call(question, audience);
    observer?.upstreamCalled(end.kind, clock.now() - startedAt);
    return end;
  };
}

const failed = "NVIDIA's service failed several times; try again later, or ask for another model.";
export const tooSlow = "NVIDIA did not answer within the request's deadline; try again.";

/** Whether another try may end differently. */
function isTemporary(end: CallEnd | undefined): boolean {
  return end?.kind === "transient" || end?.kind === "rate-limited";
}
