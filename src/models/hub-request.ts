/** One request to a hub, with the redirects that lead to the file's bytes. */
import { bypassesProxy } from "../net/no-proxy.ts";

/** How a hub is reached. */
export interface HubAccess {
  /** Origin such as `https://huggingface.co`. */
  readonly endpoint: string;
  /** Goes to the hub's own origin only, never along a redirect to another; empty for none. */
  readonly token: string;
  /** Where the proxy is, and which hosts are called without it. */
  readonly proxy: { readonly url: string; readonly noProxy: string } | undefined;
}

/** What came back, and where from. */
export interface HubAnswer {
  readonly response: Response;
  /** What the hub itself says about the file: `X-Linked-Etag`, the SHA-256 in quotes. */
  readonly linkedSha256: string | undefined;
}

const maxRedirects = 5;

/**
 * Asks for a file from a certain byte on, and follows redirects as the hub's clients do.
 *
 * @param url under the hub's endpoint.
 * @throws Error when the connection fails, or a redirect leads astray; the signal's reason.
 */
export async function requestFile(
  { endpoint, token, proxy }: HubAccess,
  url: URL,
  fromByte: number,
  signal: AbortSignal,
): Promise<HubAnswer> {
  let target = url;
  let linkedSha256: string | undefined;
  for (let hop = 0; hop <= maxRedirects; hop += 1) {
    const isHub = target.origin === endpoint;
    const response = await fetch(target, {
      headers: {
        "User-Agent": "imagesvc",
        "Accept-Encoding": "identity",
        ...(fromByte > 0 ? { Range: `bytes=${fromByte}-` } : {}),
        ...(isHub && token !== "" ? { Authorization: `Bearer ${token}` } : {}),
      },
      redirect: "manual",
      decompress: false,
      signal,
      ...(proxy && !bypassesProxy(target, proxy.noProxy) ? { proxy: proxy.url } : {}),
    });
    if (isHub) linkedSha256 ??= sha256In(response.headers.get("x-linked-etag"));
    if (![301, 302, 303, 307, 308].includes(response.status)) return { response, linkedSha256 };
    await response.body?.cancel();
    target = redirectTarget(response.headers.get("location"), target);
  }
  throw new Error("the hub redirects too often");
}

function redirectTarget(location: string | null, from: URL): URL {
  const target = location === null ? null : URL.parse(location, from.href);
  const isSafe =
    target?.protocol === "https:" || (from.protocol === "http:" && target?.protocol === "http:");
  if (target === null || !isSafe) throw new Error("the hub redirects to no https address");
  return target;
}

function sha256In(etag: string | null): string | undefined {
  return /^(?:W\/)?"?([0-9a-f]{64})"?$/.exec(etag ?? "")?.[1];
}
