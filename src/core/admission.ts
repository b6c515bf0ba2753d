/** Who may come in: a bound on the requests that are in the house at once. */
import { Problem } from "../errors.ts";

export interface AdmissionOptions {
  /** Requests in the house at once: fetching, waiting or in a worker. */
  readonly limit: number;
  /** ms until a job that arrives now would start. */
  readonly expectedWaitMs: () => number;
  /** ms that a job may wait at most. */
  readonly maxWaitMs: number;
}

/** The right to be in the house. */
export interface Ticket {
  /** Gives the place back; later calls do nothing. */
  release(): void;
}

export interface Admission {
  /** @throws Problem `overloaded`, at once, when there is no place or the wait would be too long. */
  enter(): Ticket;
}

/** Makes the gate. */
export function createAdmission({ limit, expectedWaitMs, maxWaitMs }: AdmissionOptions): Admission {
  let inside = 0;
  return {
    enter: () => {
      const waitMs = expectedWaitMs();
      if (inside >= limit || waitMs > maxWaitMs) {
        const retryAfterS = Math.max(1, Math.ceil(waitMs / 1000));
        throw new Problem(
          "overloaded",
          `The service is at capacity: come back in ${retryAfterS} s.`,
          { retryAfterS },
        );
      }
      inside += 1;
      let isInside = true;
      return {
        release: () => {
          if (isInside) inside -= 1;
          isInside = false;
        },
      };
    },
  };
}
