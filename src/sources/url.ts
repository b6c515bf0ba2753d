import { Problem } from "../errors.ts";
import { limits } from "../limits.ts";
import { parseImageUrl } from "../net/safe-url.ts";
import { readBody } from "./body.ts";
import { fetchFailure } from "./fetch-failure.ts";
import { createLookUp, type LookUp } from "./name-lookup.ts";
import { fetchPinned, type PinnedFetchOptions } from "./pinned-fetch.ts";

interface UrlSourceOptions extends Omit<PinnedFetchOptions, "resolve"> {
  /** `/etc/hosts` and DNS unless told. */
  readonly resolve?: LookUp;
  /** Deadline for everything: names, redirects, the last byte. */
  readonly fetchTimeoutMs: number;
  /** Longest wait for an answer's head, and for each next piece of its body; `limits.fetchSilenceMs` unless told. */
  readonly silenceTimeoutMs?: number;
  /** Most bytes of an image, after decompression. */
  readonly maxImageBytes: number;
}

/** Fetches images for strangers, from where strangers may go. */
export interface UrlSource {
  /**
   * Fetches one image. Keeps no cookies, connections or other state.
   *
   * @param url as the caller sent it.
   * @param signal aborts the fetch at once.
   * @returns the body of the final answer, which may be empty or no image at all.
   * @throws Problem `invalid-image-url`, `forbidden-address`, `body-too-large`, `origin-error` or
   *   `origin-timeout`; or the signal's reason.
   */
  open(url: string, signal: AbortSignal): Promise<Uint8Array<ArrayBuffer>>;
}

/**
 * Makes a source that connects only to addresses that it has checked. Every redirect is a new URL and
 * goes through the same check.
 */
export function createUrlSource(options: UrlSourceOptions): UrlSource {
  const { silenceTimeoutMs = limits.fetchSilenceMs } = options;
  const pinned = { resolve: createLookUp(limits.maxNameLookUps), ...options };
  return {
    async open(text, signal) {
      signal.throwIfAborted();
      const deadline = AbortSignal.timeout(options.fetchTimeoutMs);
      const silence = new AbortController();
      const timer = setTimeout(() => silence.abort(), silenceTimeoutMs);
      const heard = () => void timer.refresh();
      // Aborted at the end in every case, so that no connection outlives the call.
      const end = new AbortController();
      try {
        const stop = AbortSignal.any([signal, deadline, silence.signal, end.signal]);
        const response = await follow(parseImageUrl(text), pinned, stop, heard);
        return await readBody(response, options.maxImageBytes, heard);
      } catch (error) {
        signal.throwIfAborted();
        if (error instanceof Problem) throw error;
        if (deadline.aborted) {
          throw tooSlow(`did not deliver it within ${options.fetchTimeoutMs} ms`, error);
        }
        if (silence.signal.aborted) throw tooSlow(`was silent for ${silenceTimeoutMs} ms`, error);
        throw fetchFailure(error);
      } finally {
        clearTimeout(timer);
        end.abort();
      }
    },
  };
}

/** Statuses that lead elsewhere (RFC 9110 §15.4; 300, 304, 305 and 306 do not). */
const redirectStatuses: readonly number[] = [301, 302, 303, 307, 308];

/** Requests one URL after another until one is not a redirect. */
async function follow(
  first: URL,
  options: PinnedFetchOptions,
  stop: AbortSignal,
  onHead: () => void,
): Promise<Response> {
  let url = first;
  for (let hop = 0; hop <= limits.maxRedirects; hop += 1) {
    const response = await fetchPinned(url, options, stop);
    onHead();
    if (response.ok) return response;
    await response.body?.cancel();
    if (!redirectStatuses.includes(response.status)) throw refusal(response.status);
    url = redirectTarget(url, response);
  }
  const detail = `The image URL redirects more than ${limits.maxRedirects} times: give its final URL.`;
  throw new Problem("origin-error", detail);
}

function tooSlow(what: string, cause: unknown): Problem {
  const detail = `The image's host ${what}: try again, or upload the bytes.`;
  return new Problem("origin-timeout", detail, { cause });
}

function refusal(status: number): Problem {
  const detail = `The image's host answered with status ${status}: check the URL in a browser.`;
  return new Problem("origin-error", detail, { originStatus: status });
}

/** @throws Problem `origin-error` where the redirect leads nowhere, or to anything but http and https. */
function redirectTarget(from: URL, response: Response): URL {
  const originStatus = response.status;
  const location = response.headers.get("location");
  if (location === null) {
    const detail = "The image's host redirects without saying where: check the URL in a browser.";
    throw new Problem("origin-error", detail, { originStatus });
  }
  try {
    return parseImageUrl(URL.parse(location, from.href)?.href ?? location);
  } catch (cause) {
    const detail =
      "The image URL redirects to something that is not a plain http:// or https:// URL: give its final URL.";
    throw new Problem("origin-error", detail, { originStatus, cause });
  }
}
