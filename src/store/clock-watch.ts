/** Notices that the host's clock was set. */

interface ClockWatchOptions {
  /** ms since 1970, by the host's clock, which may be set. */
  readonly wallClock: () => number;
  /** ms, by a clock that only ever runs on. */
  readonly now: () => number;
  /** Steps of the clock that mean nothing, ms. */
  readonly toleranceMs: number;
  /** How long a clock that was set ahead is doubted, ms. */
  readonly doubtMs: number;
}

export interface ClockWatch {
  /**
   * ms by which the clock was set ahead since it was last believed; 0 where it is believed. A clock that is
   * set back again, or that stays as it is for long enough, is believed.
   */
  doubtedMs(): number;
}

/**
 * Makes the watch, which believes the clock as it is now. A host that slept looks like one whose clock was
 * set: Linux's monotonic clock stands still meanwhile (clock_gettime(2), `CLOCK_MONOTONIC`).
 */
export function createClockWatch(options: ClockWatchOptions): ClockWatch {
  const { wallClock, now, toleranceMs, doubtMs } = options;
  let believedMs = wallClock() - now();
  let doubtedSince: number | undefined;
  return {
    doubtedMs: () => {
      const differenceMs = wallClock() - now();
      const aheadMs = differenceMs - believedMs;
      if (aheadMs > toleranceMs) doubtedSince ??= now();
      else doubtedSince = undefined;
      if (doubtedSince !== undefined && now() - doubtedSince < doubtMs) return aheadMs;
      doubtedSince = undefined;
      believedMs = differenceMs;
      return 0;
    },
  };
}
