/** Who asks too often, and what every client is told about its limit. */
import type { RateLimit } from "../config.ts";
import type { RateLimiter } from "../core/rate-limit.ts";
import { Problem } from "../errors.ts";
import { clientNetwork, findClientAddress, type TrustedProxies } from "../net/client-address.ts";
import type { Call } from "./call.ts";

/** Counts a request before its body is read. */
export type RateGuard = (request: Request, call: Call) => void;

const units: Readonly<Record<RateLimit["windowS"], string>> = {
  1: "second",
  60: "minute",
  3600: "hour",
};

/**
 * Makes the guard. A client is an API key where keys are configured, so that those who share an address do
 * not share a limit; else an IPv4 address or an IPv6 /64. A request counts once, whatever it holds: how much
 * that is, is known only when its body is there, and what one body may cost has bounds of its own.
 *
 * The answers' headers are those of draft-ietf-httpapi-ratelimit-headers-11.
 *
 * @returns a guard that throws Problem `rate-limited`.
 */
export function createRateGuard(limiter: RateLimiter, trusted: TrustedProxies): RateGuard {
  const { requests, windowS } = limiter.limit;
  return (request, call) => {
    const { apiKeyName } = call;
    const client = apiKeyName === undefined ? addressOf(request, call, trusted) : undefined;
    const turn = limiter.take(client === undefined ? `key ${apiKeyName}` : `address ${client}`);
    const nextS = Math.ceil(turn.nextS);
    call.answerHeaders.set("ratelimit-policy", `"client";q=${requests};w=${windowS}`);
    call.answerHeaders.set("ratelimit", `"client";r=${turn.remaining};t=${nextS}`);
    if (turn.isAllowed) return;
    call.refusedClient = client;
    const detail = `More than ${requests} requests per ${units[windowS]}: come back in ${nextS} s.`;
    throw new Problem("rate-limited", detail, { retryAfterS: nextS });
  };
}

/** Connections that have no address, such as one that is gone already, count as one client. */
function addressOf(request: Request, call: Call, trusted: TrustedProxies): string {
  const forwardedFor = request.headers.get("x-forwarded-for");
  const address = findClientAddress(call.peerAddress(), forwardedFor, trusted);
  return address === undefined ? "unknown" : clientNetwork(address);
}
