/** A running service as its client sees it: each request is sent again for as long as that may help. */
import { setTimeout as wait } from "node:timers/promises";
import { codeOf, isProblemCode, Problem, type ProblemCode } from "../errors.ts";
import { limits } from "../limits.ts";
import { parseRetryAfter } from "../net/retry-after.ts";

export interface RemoteOptions {
  /** With a slash at its end. */
  readonly url: URL;
  /** Absent where the service asks for none. */
  readonly apiKey: string | undefined;
  /** ms that one request may take. */
  readonly timeoutMs: number;
  /** ms that all tries of one request, and the pauses between them, may take. */
  readonly patienceMs: number;
  /** Ends everything. */
  readonly stop: AbortSignal;
}

/** One request; it may be sent several times. */
export interface RemoteRequest {
  /** Without a slash in front. */
  readonly path: string;
  readonly query?: Readonly<Record<string, string>>;
  /** Makes the body, anew for each try; a GET without. */
  readonly body?: () => { readonly body: string | FormData; readonly type?: string };
}

/** No request would be answered any more; the message is for the user. */
export class RemoteError extends Error {
  override readonly name = "RemoteError";
}

/** A service that is asked. */
export interface RemoteService {
  /**
   * @returns the answer's JSON; or what is wrong with this one request.
   * @throws RemoteError where none would be answered; the reason of the signal.
   */
  ask(request: RemoteRequest): Promise<{ readonly answer: unknown } | Problem>;
}

/** Makes the client. */
export function createRemoteService(options: RemoteOptions): RemoteService {
  const { url, patienceMs, stop } = options;
  return {
    ask: async (request) => {
      const startedAt = performance.now();
      for (let tries = 0; ; tries += 1) {
        const result = await tryOnce(options, request);
        stop.throwIfAborted();
        if (!("why" in result)) return result;
        const pauseMs = result.retryAfterMs ?? growingPauseMs(tries);
        if (performance.now() + pauseMs > startedAt + patienceMs) {
          throw new RemoteError(
            `${url.href} ${result.why}, for longer than is waited: start again with --resume once it does`,
          );
        }
        await wait(pauseMs, undefined, { signal: stop });
      }
    },
  };
}

/** A try that is worth another. */
interface Again {
  /** What follows the service's name in a sentence. */
  readonly why: string;
  readonly retryAfterMs?: number | undefined;
}

async function tryOnce(
  { url, apiKey, timeoutMs, stop }: RemoteOptions,
  { path, query, body }: RemoteRequest,
): Promise<{ readonly answer: unknown } | Problem | Again> {
  const target = new URL(path, url);
  for (const [name, value] of Object.entries(query ?? {})) target.searchParams.set(name, value);
  const headers = new Headers();
  if (apiKey !== undefined) headers.set("Authorization", `Bearer ${apiKey}`);
  const made = body?.();
  if (made?.type !== undefined) headers.set("Content-Type", made.type);
  try {
    const response = await fetch(target, {
      ...(made && { method: "POST", body: made.body }),
      headers,
      // The key goes to nobody else.
      redirect: "manual",
      signal: AbortSignal.any([stop, AbortSignal.timeout(timeoutMs)]),
    });
    return judge(response, await response.text(), url);
  } catch (error) {
    if (error instanceof RemoteError) throw error;
    return { why: `does not answer (${codeOf(error) || "no connection"})` };
  }
}

/** @throws RemoteError for what every other request would be answered too. */
function judge(
  response: Response,
  text: string,
  url: URL,
): { readonly answer: unknown } | Problem | Again {
  const { status, headers } = response;
  const answer = parse(text);
  if (status === 200 && answer !== undefined) return { answer };
  const { code, detail } = problemIn(answer);
  const retryAfterS = parseRetryAfter(headers.get("retry-after"), Date.now());
  if (isPassing(status, code, retryAfterS)) {
    const retryAfterMs = retryAfterS === undefined ? undefined : retryAfterS * 1000;
    return { why: `answers ${status}${code === undefined ? "" : ` ${code}`}`, retryAfterMs };
  }
  const fatal = fatalFault(response, code, detail);
  if (fatal !== undefined) throw new RemoteError(`${url.href} ${fatal}`);
  return new Problem(code ?? "internal-error", detail);
}

/** Whether the same request may be answered later: the service says so, or a proxy answers in its place. */
function isPassing(status: number, code: ProblemCode | undefined, retryAfterS?: number): boolean {
  if (![429, 502, 503, 504].includes(status)) return false;
  return retryAfterS !== undefined || code === undefined || code === "shutting-down";
}

/** What no request gets past, in words that follow the service's name. */
function fatalFault(
  { status, headers }: Response,
  code: ProblemCode | undefined,
  detail: string,
): string | undefined {
  if (status >= 300 && status < 400) {
    const place = headers.get("location")?.slice(0, 200);
    return `redirects to ${place}: give --remote the address where the service itself is`;
  }
  if (status === 401) {
    return `refuses (${detail}): set IMAGESVC_API_KEY or IMAGESVC_API_KEY_FILE`;
  }
  if (code === undefined) {
    return `answers ${status} in a way that imagesvc does not: check the address`;
  }
  const isFatal = code === "unknown-model" || code === "model-unavailable";
  return isFatal ? `cannot embed: ${detail}` : undefined;
}

/** What an error answer says of itself; nothing where it is none of imagesvc. */
function problemIn(answer: unknown) {
  const { code, detail }: { code?: unknown; detail?: unknown } =
    typeof answer === "object" && answer !== null ? answer : {};
  return {
    code: typeof code === "string" && isProblemCode(code) ? code : undefined,
    detail: typeof detail === "string" ? detail : "it does not say why",
  };
}

function parse(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}

/** Twice as long each time, and each time somewhat different, so that many do not come back at once. */
function growingPauseMs(tries: number): number {
  const longest = Math.min(limits.remotePauseMs, 500 * 2 ** Math.min(tries, 10));
  return longest * (0.5 + Math.random() / 2);
}
