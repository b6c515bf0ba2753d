import { codeOf, Problem } from "../errors.ts";
import { readBody } from "./body.ts";

interface ProxiedFetchOptions {
  /** URL of the proxy. */
  readonly proxy: string;
  /** Deadline for everything: the proxy, redirects, the last byte. */
  readonly timeoutMs: number;
  readonly maxBytes: number;
}

/**
 * Fetches a URL of our own through the operator's proxy, which connects wherever it likes: not for URLs of
 * strangers, whose addresses must be checked.
 *
 * @returns the body of the final answer.
 * @throws Problem `body-too-large` or `origin-error`; the signal's reason.
 */
export async function fetchThroughProxy(
  url: string,
  { proxy, timeoutMs, maxBytes }: ProxiedFetchOptions,
  signal: AbortSignal,
): Promise<Uint8Array<ArrayBuffer>> {
  const deadline = AbortSignal.timeout(timeoutMs);
  try {
    const headers = { "Accept-Encoding": "identity", "User-Agent": "imagesvc" };
    const stop = AbortSignal.any([signal, deadline]);
    const response = await fetch(url, { headers, proxy, signal: stop });
    if (response.ok) return await readBody(response, maxBytes);
    await response.body?.cancel();
    throw failure(`brought status ${response.status}`);
  } catch (error) {
    signal.throwIfAborted();
    if (error instanceof Problem) throw error;
    if (deadline.aborted) throw failure(`brought no whole answer within ${timeoutMs} ms`);
    throw failure(`failed (${codeOf(error) || "no valid HTTP"})`);
  }
}

function failure(what: string): Problem {
  const detail = `The fetch through the proxy ${what}: check HTTPS_PROXY and NO_PROXY.`;
  return new Problem("origin-error", detail);
}
