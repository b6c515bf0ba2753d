/** One call of NVIDIA's hosted model: the request, the polls while it runs, and nothing else. */
import { bypassesProxy } from "../net/no-proxy.ts";
import type { Clock } from "./clock.ts";
import type { Audience } from "./joined-work.ts";
import { type Answer, judge, upstreamDetail, type Verdict } from "./nv-dinov2-answer.ts";

/** Characters of base64 that one inline image may have: fewer than 180,000. */
export const maxBase64Chars = 179_999;

/** A real answer has some 30 kB. */
const maxAnswerBytes = 1024 * 1024;
/** Least time between two polls, and between the request and the first. */
const pollIntervalMs = 1_000;
/** Longest time that NVIDIA is asked to hold a request open before it answers 202. */
const maxHoldS = 10;

export interface CallOptions {
  /** Replaces every NVIDIA origin, the polling one too. */
  readonly baseUrl: string | undefined;
  /** Where the proxy is, and which hosts are called without it. */
  readonly proxy: { readonly url: string; readonly noProxy: string } | undefined;
  readonly clock: Clock;
  /** Milliseconds since 1970. */
  readonly wallClock: () => number;
}

/** What is asked. */
export interface Question {
  readonly image: Uint8Array;
  readonly mime: "image/jpeg" | "image/png";
  /** Printable ASCII. */
  readonly key: string;
  /** Of an earlier call that NVIDIA has not answered yet: asked for again instead of paid for twice. */
  readonly requestId: string | undefined;
  /** W3C trace context that is handed on. */
  readonly traceparent?: string | undefined;
}

/** How a call ended; `late` when the deadline came before the result. */
export type CallEnd = (Exclude<Verdict, { kind: "pending" }> | { readonly kind: "late" }) & {
  /** NVIDIA's own id of a result that may still come. */
  readonly requestId: string | undefined;
  /** What NVIDIA says went wrong, for the log only. */
  readonly upstreamDetail: string | undefined;
};

/** Makes one call. It throws only the signal's reason. */
export type Call = (question: Question, audience: Audience) => Promise<CallEnd>;

/** Makes the function that calls. */
export function createCall({ baseUrl, proxy, clock, wallClock }: CallOptions): Call {
  const invokeUrl = new URL("/v1/cv/nvidia/nv-dinov2", baseUrl ?? "https://ai.api.nvidia.com");
  const statusUrl = new URL("/v2/nvcf/pexec/status/", baseUrl ?? "https://api.nvcf.nvidia.com");

  async function exchange(
    { image, mime, key, traceparent }: Question,
    requestId: string | undefined,
    { signal, deadline }: Audience,
  ): Promise<Answer | { readonly failure: string }> {
    const polls = requestId !== undefined;
    const url = polls ? new URL(requestId, statusUrl) : invokeUrl;
    const leftS = Math.floor((deadline() - clock.now()) / 1000);
    try {
      const response = await fetch(url, {
        method: polls ? "GET" : "POST",
        headers: {
          ...{ Authorization: `Bearer ${key}`, Accept: "application/json" },
          "NVCF-POLL-SECONDS": String(Math.min(maxHoldS, Math.max(1, leftS))),
          ...(polls ? {} : { "Content-Type": "application/json" }),
          ...(traceparent && { traceparent }),
        },
        // A redirect would carry the key wherever it points.
        redirect: "manual",
        signal,
        ...(polls ? {} : { body: requestBody(image, mime) }),
        ...(proxy && !bypassesProxy(url, proxy.noProxy) ? { proxy: proxy.url } : {}),
      });
      const body = (await readText(response, maxAnswerBytes)) ?? "";
      return { status: response.status, headers: response.headers, body };
    } catch (error) {
      signal.throwIfAborted();
      return { failure: failureName(error) };
    }
  }

  return async (question, audience) => {
    let { requestId } = question;
    for (;;) {
      const startedAt = clock.now();
      const answer = await exchange(question, requestId, audience);
      if ("failure" in answer) {
        return { kind: "transient", reason: answer.failure, requestId, upstreamDetail: undefined };
      }
      const verdict = judge(answer, requestId !== undefined, wallClock());
      if (verdict.kind !== "pending") {
        return { ...verdict, requestId, upstreamDetail: upstreamDetail(answer.body, question.key) };
      }
      requestId = verdict.requestId;
      const nextPollAt = startedAt + pollIntervalMs;
      if (nextPollAt >= audience.deadline()) {
        return { kind: "late", requestId, upstreamDetail: undefined };
      }
      await clock.sleep(Math.max(0, nextPollAt - clock.now()), audience.signal);
    }
  };
}

/** `content` is an object, not an array as in OpenAI's chats. */
function requestBody(image: Uint8Array, mime: string): string {
  const url = `data:${mime};base64,${image.toBase64()}`;
  return JSON.stringify({ messages: [{ content: { type: "image_url", image_url: { url } } }] });
}

/**
 * Reads a body as UTF-8 text, never holding more than `maxBytes` of it.
 *
 * @returns undefined when the body is longer; its rest is not read.
 * @throws whatever the connection throws: reset, aborted.
 */
async function readText(response: Response, maxBytes: number): Promise<string | undefined> {
  if (response.body === null) return "";
  const decoder = new TextDecoder();
  let text = "";
  let readBytes = 0;
  for await (const chunk of response.body) {
    readBytes += chunk.byteLength;
    // Leaving the loop cancels the stream.
    if (readBytes > maxBytes) return undefined;
    text += decoder.decode(chunk, { stream: true });
  }
  return text + decoder.decode();
}

/** The error's code or name: its message might quote an address. */
function failureName(error: unknown): string {
  if (!(error instanceof Error)) return "unknown failure";
  return "code" in error && typeof error.code === "string" ? error.code : error.name;
}
