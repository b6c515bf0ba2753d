/** Remembers that an upstream is out of order, so that nobody waits for it in vain. */
import { Problem, type ProblemCode } from "../errors.ts";

/** What is wrong, in words for the caller. */
export interface Fault {
  readonly code: ProblemCode;
  readonly detail: string;
  /** Seconds that the upstream asked for; undefined when nobody knows how long it lasts. */
  readonly retryAfterS: number | undefined;
}

interface BreakerOptions {
  /** Time between two probes of a fault that somebody must mend. */
  readonly probeIntervalMs: number;
  /** Milliseconds on the scale of `performance.now()`. */
  readonly now: () => number;
}

/** Open while a fault stands. Every fault belongs to a credential: with another one it is void. */
export interface CircuitBreaker {
  /** The fault that stands, whether or not a probe is due. */
  fault(credential: string): Fault | undefined;
  /** The problem of a call now; undefined when closed, or when this call would be the probe. */
  refusal(credential: string): Problem | undefined;
  /** The same for a call that is made at once if it may be: only one at a time is the probe. */
  claim(credential: string): Problem | undefined;
  /** Opens, and returns the problem that callers meet. */
  trip(fault: Fault, credential: string): Problem;
  /** Closes. Returns whether it was open. */
  reset(): boolean;
}

/** Makes a closed breaker. */
export function createCircuitBreaker({ probeIntervalMs, now }: BreakerOptions): CircuitBreaker {
  let open: { fault: Fault; credential: string; probeAt: number } | undefined;

  function refusal(credential: string): Problem | undefined {
    if (open?.credential !== credential || now() >= open.probeAt) return undefined;
    const { code, detail, retryAfterS } = open.fault;
    const leftS = Math.ceil((open.probeAt - now()) / 1000);
    return new Problem(code, detail, retryAfterS === undefined ? {} : { retryAfterS: leftS });
  }

  return {
    fault: (credential) => (open?.credential === credential ? open.fault : undefined),
    refusal,
    claim(credential) {
      const problem = refusal(credential);
      if (problem === undefined && open) open = { ...open, probeAt: now() + probeIntervalMs };
      return problem;
    },
    trip(fault, credential) {
      const openMs = fault.retryAfterS === undefined ? probeIntervalMs : fault.retryAfterS * 1000;
      open = { fault, credential, probeAt: now() + openMs };
      return new Problem(
        fault.code,
        fault.detail,
        fault.retryAfterS === undefined ? {} : { retryAfterS: fault.retryAfterS },
      );
    },
    reset() {
      const wasOpen = open !== undefined;
      open = undefined;
      return wasOpen;
    },
  };
}
