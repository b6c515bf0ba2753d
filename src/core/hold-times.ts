/** How long places are held, from which follows when one of them is free again. */

export interface HoldTimes {
  /** To be called when a place is taken. @returns to be called when it is given back; later calls do nothing. */
  begin(): () => void;
  /** ms until one of the places that are taken is free, as far as one can tell; 0 where none is taken. */
  nextReleaseMs(): number;
}

/** What is left of the older holds' weight with each that ends: some ten of them are remembered. */
const oldWeight = 0.9;

/**
 * Makes the record. The mean is the time that all holds took, those that go on included, over the number of
 * those that ended (total time on test: Epstein, Sobel 1953, "Life testing"): so it grows while nobody leaves,
 * and holds that never end do not go unnoticed.
 *
 * @param now a monotonic clock, ms.
 */
export function createHoldTimes(now: () => number): HoldTimes {
  const startedAt = new Set<{ readonly ms: number }>();
  let endedMs = 0;
  let ended = 0;

  return {
    begin: () => {
      const hold = { ms: now() };
      startedAt.add(hold);
      return () => {
        if (!startedAt.delete(hold)) return;
        endedMs = oldWeight * endedMs + now() - hold.ms;
        ended = oldWeight * ended + 1;
      };
    },
    nextReleaseMs: () => {
      const nowMs = now();
      let totalMs = endedMs;
      for (const { ms } of startedAt) totalMs += nowMs - ms;
      const meanMs = totalMs / Math.max(1, ended);
      return startedAt.size === 0 ? 0 : Math.round(meanMs / startedAt.size);
    },
  };
}
