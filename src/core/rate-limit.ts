/** How often each client may ask: GCRA, the virtual scheduling algorithm of ITU-T I.371, Annex A. */
import type { RateLimit } from "../setting.ts";

interface RateLimiterOptions {
  readonly limit: RateLimit;
  /** Clients that are remembered at most. */
  readonly maxClients: number;
  /** ms on a clock that never goes back. */
  readonly now: () => number;
}

/** What a client that asks is told. */
export interface Turn {
  readonly isAllowed: boolean;
  /** Requests that it may send at once after this one. */
  readonly remaining: number;
  /** Seconds until it may send one more than these. */
  readonly nextS: number;
}

export interface RateLimiter {
  readonly limit: RateLimit;
  /** Counts one request; one that is refused costs nothing. */
  take(client: string): Turn;
}

/**
 * Makes the limiter. A client that was quiet for the whole window may send `limit.requests` at once; from
 * then on they come back one by one, evenly over the window.
 *
 * A client is one number: the time at which it will be as good as new. It is forgotten then, so nobody is
 * remembered for longer than a window after the last request. Where more than `maxClients` are on their way
 * there, the one that was silent longest is forgotten early, which is to its advantage: nobody is refused
 * because others are many. To wipe out its own record, an attacker needs `maxClients` addresses, each with a
 * request of its own that it could have sent anyway.
 */
export function createRateLimiter({ limit, maxClients, now }: RateLimiterOptions): RateLimiter {
  // In whole µs sums are exact.
  const intervalUs = Math.ceil((limit.windowS * 1_000_000) / limit.requests);
  const windowUs = intervalUs * limit.requests;
  /** When each client is as good as new, in µs; whoever asked last stands last. */
  const renewals = new Map<string, number>();

  function forget(nowUs: number): void {
    for (const [client, renewalUs] of renewals) {
      if (renewalUs > nowUs && renewals.size < maxClients) return;
      renewals.delete(client);
    }
  }

  return {
    limit,
    take: (client) => {
      const nowUs = Math.floor(now() * 1000);
      const before = Math.max(renewals.get(client) ?? nowUs, nowUs);
      const isAllowed = before + intervalUs - nowUs <= windowUs;
      const renewalUs = isAllowed ? before + intervalUs : before;
      renewals.delete(client);
      forget(nowUs);
      renewals.set(client, renewalUs);
      const availableUs = windowUs - (renewalUs - nowUs);
      const remaining = Math.floor(availableUs / intervalUs);
      const nextS = ((remaining + 1) * intervalUs - availableUs) / 1_000_000;
      return { isAllowed, remaining, nextS };
    },
  };
}
