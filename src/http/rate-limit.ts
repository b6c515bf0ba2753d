/** Who asks too often, and what every client is told about its limit. */

import type { RateLimiter } from "../core/rate-limit.ts";
import { Problem } from "../errors.ts";
import type { TrustedProxies } from "../net/client-address.ts";
import type { RateLimit } from "../setting.ts";
import type { Call } from "./call.ts";
import { addressOf, clientOf } from "./client.ts";

/** Counts a request before its body is read. */
export type RateGuard = (request: Request, call: Call) => void;

const units: Readonly<Record<RateLimit["windowS"], string>> = {
  1: "second",
  60: "minute",
  3600: "hour",
};

/**
 * Makes the guard. A request counts once, whatever it holds: how much
 * that is, is known only when its body is there, and what one body may cost has bounds of its own.
 *
 * The answers' headers are those of draft-ietf-httpapi-ratelimit-headers-11.
 *
 * @returns a guard that throws Problem `rate-limited`.
 */
export function createRateGuard(limiter: RateLimiter, trusted: TrustedProxies): RateGuard {
  const { requests, windowS } = limiter.limit;
  return (request, call) => {
    const turn = limiter.take(clientOf(request, call, trusted));
    const nextS = Math.ceil(turn.nextS);
    call.answerHeaders.set("ratelimit-policy", `"client";q=${requests};w=${windowS}`);
    call.answerHeaders.set("ratelimit", `"client";r=${turn.remaining};t=${nextS}`);
    if (turn.isAllowed) return;
    if (call.apiKeyName === undefined) call.refusedClient = addressOf(request, call, trusted);
    const detail = `More than ${requests} requests per ${units[windowS]}: come back in ${nextS} s.`;
    throw new Problem("rate-limited", detail, { retryAfterS: nextS });
  };
}
