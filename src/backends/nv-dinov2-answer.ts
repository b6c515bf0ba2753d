/** What an answer of NVIDIA's hosted model means: pure, and unimpressed by whatever it contains. */
import { parseRetryAfter } from "../net/retry-after.ts";
import type { Embedding } from "./backend.ts";
import type { Fault } from "./circuit-breaker.ts";

/** Length of an embedding. */
export const nvDinov2Dimensions = 1536;

/** An answer, read. */
export interface Answer {
  readonly status: number;
  readonly headers: Headers;
  /** The body as text; empty when there was none. */
  readonly body: string;
}

/** What to do about an answer. `reason` is for the log, never for the caller. */
export type Verdict =
  | { readonly kind: "embedding"; readonly embedding: Embedding }
  | { readonly kind: "pending"; readonly requestId: string }
  /** Worth another try. */
  | { readonly kind: "transient"; readonly reason: string }
  | { readonly kind: "rate-limited"; readonly retryAfterS: number | undefined }
  /** Concerns every call, not just this one. */
  | { readonly kind: "fault"; readonly fault: Fault; readonly reason: string }
  /** Concerns this image only; another try would end the same. */
  | { readonly kind: "refused"; readonly reason: string; readonly detail: string };

/** Statuses that mean the same for every call until somebody acts. */
const faults = new Map<number, Omit<Fault, "retryAfterS">>([
  [401, unauthorized("does not know the service's key; the operator must renew NVIDIA_API_KEY.")],
  [
    402,
    unauthorized("reports that the service's credits are used up; the operator must buy more."),
  ],
  [403, unauthorized("does not entitle the service's key to this model; the operator must do so.")],
  [404, withdrawn("not found")],
  [410, withdrawn("gone")],
]);

function unauthorized(what: string) {
  return { code: "upstream-unauthorized", detail: `NVIDIA ${what}` } as const;
}

function withdrawn(how: string) {
  const detail = `NVIDIA no longer offers nv-dinov2 to the service's account (${how}); ask for another model.`;
  return { code: "upstream-error", detail } as const;
}

/**
 * Judges one answer.
 *
 * @param polled whether it answers a poll: there 404 and 410 mean that the one result has expired.
 * @param wallClockMs what the time is, as `Date.now()` gives it, for a `Retry-After` that is a date.
 */
export function judge(answer: Answer, polled: boolean, wallClockMs: number): Verdict {
  const { status, headers } = answer;
  const reason = `HTTP ${status}`;
  if (status === 200) return judgeEmbedding(answer.body);
  if (status === 202) return judgePending(headers);
  const fault = polled && [404, 410].includes(status) ? undefined : faults.get(status);
  if (fault) return { kind: "fault", fault: { ...fault, retryAfterS: undefined }, reason };
  const retryAfterS = parseRetryAfter(headers.get("retry-after"), wallClockMs);
  if (status === 429) return { kind: "rate-limited", retryAfterS };
  if (status === 503 && retryAfterS !== undefined) return outage(retryAfterS);
  if ([500, 502, 503, 504].includes(status)) return { kind: "transient", reason };
  if ([400, 413, 415, 422].includes(status)) {
    const detail =
      "NVIDIA did not take this image; send another picture, or ask for another model.";
    return { kind: "refused", reason, detail };
  }
  return unusable(reason);
}

/** Longest outage that is believed, in seconds: a nonsensical number must not shut the model for ever. */
const maxOutageS = 24 * 3600;

function outage(retryAfterS: number): Verdict {
  const fault: Fault = {
    code: "upstream-error",
    detail: "NVIDIA reports an outage of nv-dinov2; come back later, or ask for another model.",
    retryAfterS: Math.min(maxOutageS, Math.max(1, Math.ceil(retryAfterS))),
  };
  return { kind: "fault", fault, reason: "HTTP 503 with Retry-After" };
}

function judgePending(headers: Headers): Verdict {
  const requestId = headers.get("nvcf-reqid") ?? "";
  // It becomes part of a path.
  if (!/^[0-9A-Za-z-]{1,128}$/.test(requestId)) return unusable("HTTP 202 without a request id");
  return { kind: "pending", requestId };
}

function judgeEmbedding(body: string): Verdict {
  const answer = parseJson(body);
  const entries = member(answer, "metadata");
  if (!Array.isArray(entries)) return unusable("HTTP 200 without metadata");
  if (entries.length !== 1) return unusable(`HTTP 200 with ${entries.length} metadata entries`);
  const numbers: unknown = member(entries[0], "embedding");
  if (!Array.isArray(numbers) || numbers.length !== nvDinov2Dimensions || !numbers.every(isFloat)) {
    return unusable(`HTTP 200 without ${nvDinov2Dimensions} finite numbers`);
  }
  const model = member(answer, "model") ?? "nv-dinov2";
  if (typeof model !== "string" || !/^[\w.@/:+-]{1,128}$/.test(model)) {
    return unusable("HTTP 200 with an odd model name");
  }
  return { kind: "embedding", embedding: { model, vector: Float32Array.from(numbers) } };
}

function unusable(reason: string): Verdict {
  const detail = "NVIDIA's answer could not be used; try again later, or ask for another model.";
  return { kind: "refused", reason, detail };
}

/** Whether the value is a number that stays finite as a float32. */
function isFloat(value: unknown): value is number {
  return typeof value === "number" && Number.isFinite(Math.fround(value));
}

/**
 * What an error body says for itself, for the log: its `detail`, as problem+json has it.
 *
 * @param secret blacked out, should the upstream repeat it.
 * @returns undefined for an empty body, HTML, truncated JSON and the like.
 */
export function upstreamDetail(body: string, secret: string): string | undefined {
  const detail = member(parseJson(body), "detail");
  if (typeof detail !== "string") return undefined;
  return detail
    .replaceAll(secret, "[key]")
    .replace(/\p{Cc}+/gu, " ")
    .slice(0, 300);
}

function parseJson(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}

function member(value: unknown, name: string): unknown {
  if (typeof value !== "object" || value === null || !Object.hasOwn(value, name)) return undefined;
  return Reflect.get(value, name);
}
