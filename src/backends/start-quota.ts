/** When calls may start under somebody else's quota: arithmetic over past starts, without waiting. */

interface StartQuotaOptions {
  /** Calls that may start within any `windowMs`. */
  readonly maxStarts: number;
  readonly windowMs: number;
  /** Uniform in [0, 1). */
  readonly random: () => number;
}

/** All times are on one scale, in ms. */
export interface StartQuota {
  /** The first time from `now` on at which a call may start, if calls start at `planned` before it. */
  next(now: number, planned?: readonly number[]): number;
  /** A call has started. */
  record(startedAt: number): void;
  /** A call was refused for the quota: nothing starts for a while, then calls keep a gap. */
  slowDown(now: number, callStartedAt: number, atLeastMs: number): void;
  /** A call was served: the gap shrinks. */
  speedUp(): void;
}

/** Longest gap between two starts, in ms. */
const maxGapMs = 30_000;
/** The gap after the first refusal, whatever the quota was thought to be: a free key's, 40 a minute. */
const firstGapMs = 1_500;
/** A shorter gap than this is none. */
const minGapMs = 100;

/**
 * Makes a quota: a sliding window over the starts, and a gap between them that doubles with every
 * refusal and shrinks by a tenth with every success. The first gap is the one that the window implies, or a free key's.
 */
export function createStartQuota({ maxStarts, windowMs, random }: StartQuotaOptions): StartQuota {
  /** The latest `maxStarts` starts, oldest first. */
  let starts: readonly number[] = [];
  let gapMs = 0;
  let slowedAt = Number.NEGATIVE_INFINITY;
  let pausedUntil = Number.NEGATIVE_INFINITY;

  return {
    next(now, planned = []) {
      const times = [...starts, ...planned];
      const last = times.at(-1);
      const oldest = times.at(-maxStarts);
      return Math.max(
        now,
        pausedUntil,
        last === undefined ? now : last + gapMs,
        oldest === undefined ? now : oldest + windowMs,
      );
    },
    record(startedAt) {
      starts = [...starts, startedAt].slice(-maxStarts);
    },
    slowDown(now, callStartedAt, atLeastMs) {
      // Calls that were under way together are refused together: that is one refusal, not many.
      if (callStartedAt <= slowedAt) return;
      slowedAt = now;
      gapMs = Math.min(maxGapMs, Math.max(windowMs / maxStarts, firstGapMs, gapMs * 2));
      pausedUntil = now + Math.max(atLeastMs, gapMs * (1 + random()));
    },
    speedUp() {
      gapMs = gapMs < minGapMs ? 0 : gapMs * 0.9;
    },
  };
}
