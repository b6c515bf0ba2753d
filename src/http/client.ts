/** Who counts as one client, for whatever one client may have a share of. */
import { clientNetwork, findClientAddress, type TrustedProxies } from "../net/client-address.ts";
import type { Call } from "./call.ts";

/**
 * Names the client of a request: the API key where keys are configured, so that those who share an address
 * share nothing else; else an IPv4 address or an IPv6 /64.
 *
 * @returns such as `key web` or `address 203.0.113.7`.
 */
export function clientOf(request: Request, call: Call, trusted: TrustedProxies): string {
  const { apiKeyName } = call;
  return apiKeyName === undefined
    ? `address ${addressOf(request, call, trusted)}`
    : `key ${apiKeyName}`;
}

/** Address of a client, or its network; connections that have none, such as one that is gone already, count as one. */
export function addressOf(request: Request, call: Call, trusted: TrustedProxies): string {
  const forwardedFor = request.headers.get("x-forwarded-for");
  const address = findClientAddress(call.peerAddress(), forwardedFor, trusted);
  return address === undefined ? "unknown" : clientNetwork(address);
}
