/** A bound on those requests in the house that wait for the same somebody else. */
import type { ImageBackend } from "../backends/backend.ts";
import { Problem } from "../errors.ts";
import { createHoldTimes } from "./hold-times.ts";

interface ShareOptions {
  /** Requests that may wait at once. */
  readonly places: number;
  /** Whom they wait for, as the answer names them. */
  readonly whom: string;
  /** A monotonic clock, ms. */
  readonly now: () => number;
}

export interface Share {
  /** The problem of one more, if there is no place for it now. */
  refusal(): Problem | undefined;
  /**
   * Does work in a place of its own, or in the one that its caller has already.
   *
   * @param caller whose work it is: all that one request waits for takes one place.
   * @throws Problem `overloaded`, at once, when there is none; and whatever the work throws.
   */
  run<T>(work: () => Promise<T>, caller?: object): Promise<T>;
}

/**
 * Makes a share. Without it one slow upstream would fill the house with those who wait for it, and everybody
 * else would be refused (a bulkhead: Nygard, Release It!, 2nd edition, chapter 5).
 */
export function createShare({ places, whom, now }: ShareOptions): Share {
  const holds = createHoldTimes(now);
  /** Of each caller, how much work is under way in its place. */
  const taken = new Map<object, number>();

  function refusal(): Problem | undefined {
    if (taken.size < places) return undefined;
    const retryAfterS = Math.max(1, Math.ceil(holds.nextReleaseMs() / 1000));
    const detail = `Too many requests wait for ${whom}: come back in ${retryAfterS} s.`;
    return new Problem("overloaded", detail, { retryAfterS });
  }

  return {
    refusal,
    run: async (work, caller = {}) => {
      const own = taken.get(caller) ?? 0;
      const refused = own === 0 ? refusal() : undefined;
      if (refused !== undefined) throw refused;
      taken.set(caller, own + 1);
      const end = holds.begin();
      try {
        return await work();
      } finally {
        const left = (taken.get(caller) ?? 1) - 1;
        if (left === 0) taken.delete(caller);
        else taken.set(caller, left);
        end();
      }
    },
  };
}

/** The model, asked by no more requests at once than the share has places. */
export function sharedBackend(backend: ImageBackend, share: Share): ImageBackend {
  return {
    ...backend,
    admission: (demand) => backend.admission(demand) ?? share.refusal(),
    embed: (job) => share.run(() => backend.embed(job), job.signal),
  };
}
