/**
 * Against DNS rebinding: a page of evil.example whose name then resolves to this service is of one origin with
 * it, so that browsers neither ask for permission nor hide the answers. Only the name gives it away.
 */
import { Problem } from "../errors.ts";
import { isTrustedProxy, type TrustedProxies } from "../net/client-address.ts";
import { isLoopbackHost } from "../net/loopback.ts";
import { splitPort } from "../net/split-port.ts";

/**
 * Lets a request in, or not, before its body is read.
 *
 * @param peer the other end of the connection; undefined where the socket has no address.
 * @throws Problem `forbidden-origin`.
 */
export type HostGuard = (request: Request, peer: string | undefined) => void;

/**
 * Makes the guard of a service that listens on loopback: it is called as `localhost` or by a loopback address,
 * and every other name is a stranger's. A proxy of the operator's own passes on the name by which it was called
 * itself. A request without Host is no browser's (RFC 9112 §3.2).
 *
 * @param hostname HOST, where the service listens.
 * @returns undefined where that is not loopback: then any name may be ours.
 */
export function createHostGuard(hostname: string, trusted: TrustedProxies): HostGuard | undefined {
  if (!isLoopbackHost(hostname)) return undefined;
  return (request, peer) => {
    const host = request.headers.get("host") ?? "";
    if (host === "" || isLoopbackHost(splitPort(host).place)) return;
    if (isTrustedProxy(peer, trusted)) return;
    throw new Problem(
      "forbidden-origin",
      "The service listens on this machine only and is not called by that name: use localhost, or let the operator name the proxy in TRUSTED_PROXIES.",
    );
  };
}

/**
 * Whether a page is our own, such as `/docs`: it was loaded under the name by which it calls.
 *
 * A rebound page's name does so too. Where the service listens on loopback the guard above has refused it; where
 * it listens for others, what such a page can do is what whoever reaches the service can do, and API keys, which
 * no browser has for a page to use, are the answer to that. A stricter rule would shut out `/docs` on every host
 * with a public name and without TLS.
 */
export function isOwnOrigin(origin: string, request: Request): boolean {
  const page = URL.parse(origin);
  if (page === null || !/^https?:$/.test(page.protocol)) return false;
  // A Host may name the port that is the scheme's own.
  return page.host === URL.parse(`${page.protocol}//${request.headers.get("host")}`)?.host;
}
