import { version } from "../../package.json" with { type: "json" };
import { Problem } from "../errors.ts";
import type { FetchRule } from "../net/fetch-allow.ts";
import { parseIpAddress } from "../net/ip-address.ts";
import { isConnectFailure } from "./fetch-failure.ts";
import type { LookUp } from "./name-lookup.ts";

export interface PinnedFetchOptions {
  /** What may be connected to; asked for every address of every URL. */
  readonly allow: FetchRule;
  readonly resolve: LookUp;
  /** PEM of the authorities to trust instead of the well-known ones. */
  readonly trustedAuthorities?: string;
}

const userAgent = `Mozilla/5.0 (compatible; imagesvc/${version})`;

/**
 * Requests one URL from an address that was checked: the name is looked up once, every one of its
 * addresses must be allowed, and Bun gets the address in place of the name. (Its `fetch` has no hook
 * for look-ups: it would look the name up again, and could then be led elsewhere.)
 *
 * @returns the answer, its body unread; a redirect is not followed.
 * @throws Problem `forbidden-address`, `origin-error`; errors of the look-up and of `fetch`, which
 *   carry a `code`; the signal's reason.
 */
export async function fetchPinned(
  url: URL,
  options: PinnedFetchOptions,
  signal: AbortSignal,
): Promise<Response> {
  let failure: unknown;
  for (const address of await checkedAddresses(url, options, signal)) {
    const pinned = new URL(url);
    pinned.hostname = address;
    try {
      return await fetch(pinned.href, {
        headers: {
          Host: url.host,
          Accept: "image/*",
          // Images are compressed already; and a Content-Length then counts the image's own bytes.
          "Accept-Encoding": "identity",
          "User-Agent": userAgent,
        },
        redirect: "manual",
        // A connection that is kept would be shared with later callers of the same address.
        keepalive: false,
        // The environment's proxy would hide whom we connect to.
        proxy: false,
        signal,
        tls: tlsOptions(url, options),
      });
    } catch (error) {
      if (!isConnectFailure(error)) throw error;
      failure = error;
    }
  }
  throw failure;
}

/**
 * Looks the host up and checks every address, as a bad one among good ones is an attack.
 *
 * @returns at least one host for a URL, IPv6 in brackets.
 * @throws Problem `forbidden-address`, the same whether or not anything listens there.
 */
async function checkedAddresses(
  url: URL,
  options: PinnedFetchOptions,
  signal: AbortSignal,
): Promise<readonly string[]> {
  const literal = url.hostname.replace(/^\[(.*)\]$/, "$1");
  const isLiteral = parseIpAddress(literal) !== undefined;
  const texts = isLiteral ? [literal] : await orAbort(options.resolve(url.hostname), signal);
  if (texts.length === 0) {
    throw new Problem(
      "origin-error",
      "The image's host has no address: check the URL's host name.",
    );
  }
  const port = portOf(url);
  for (const text of texts) {
    const address = parseIpAddress(text);
    if (address && options.allow({ hostname: url.hostname, port, address })) continue;
    const detail =
      "The image URL, or a redirect of it, leads to an address or a port that is not public: use a public host on port 80 or 443, or upload the bytes.";
    throw new Problem("forbidden-address", detail);
  }
  return texts.map((text) => (text.includes(":") ? `[${text}]` : text));
}

function portOf(url: URL): number {
  if (url.port !== "") return Number(url.port);
  return url.protocol === "https:" ? 443 : 80;
}

/** The promise's outcome, or the signal's reason as soon as it aborts: look-ups cannot be cancelled. */
async function orAbort<T>(promise: Promise<T>, signal: AbortSignal): Promise<T> {
  signal.throwIfAborted();
  const aborted = Promise.withResolvers<never>();
  const abort = () => aborted.reject(signal.reason);
  signal.addEventListener("abort", abort, { once: true });
  try {
    return await Promise.race([promise, aborted.promise]);
  } finally {
    signal.removeEventListener("abort", abort);
  }
}

/** The certificate must fit the URL's name, whatever the environment says about checking. */
function tlsOptions(url: URL, options: PinnedFetchOptions): BunFetchRequestInitTLS {
  const isLiteral = url.hostname.startsWith("[") || parseIpAddress(url.hostname) !== undefined;
  return {
    rejectUnauthorized: true,
    // RFC 6066 §3: an address is no server name; Bun then checks the certificate for the address.
    ...(isLiteral ? {} : { serverName: url.hostname }),
    ...(options.trustedAuthorities === undefined ? {} : { ca: options.trustedAuthorities }),
  };
}
