/** NV-DINOv2, hosted by NVIDIA. It costs money and quota: the same bytes are asked for once at a time. */
import { Problem } from "../errors.ts";
import type { Log } from "../log.ts";
import type { Observer } from "../observer.ts";
import type { BackendOutcome, Embedding, EmbedJob, ImageBackend } from "./backend.ts";
import type { Queued } from "./batcher.ts";
import { type Clock, processClock } from "./clock.ts";
import { type Caller, createJoinedWork } from "./joined-work.ts";
import { nvDinov2Dimensions } from "./nv-dinov2-answer.ts";
import { type CallOptions, maxBase64Chars } from "./nv-dinov2-call.ts";
import { createNvDinov2Client, tooSlow } from "./nv-dinov2-client.ts";
import type { PreparedOutcome } from "./protocol.ts";

export interface NvDinov2Options extends Pick<CallOptions, "baseUrl" | "proxy"> {
  /** Asked at every request, so that a new key needs no restart; undefined or empty for none. */
  readonly apiKey: () => string | undefined;
  /**
   * Decodes an image and makes it fit for the upstream, in a worker.
   *
   * @throws Problem when no worker is to be had in time.
   */
  readonly prepare: (job: EmbedJob, maxBase64Chars: number) => Promise<Queued<PreparedOutcome>>;
  readonly log: Log;
  /** Takes note of every call. */
  readonly observer?: Observer | undefined;
  /** Requests that the key may make in any minute; a free one about 40. */
  readonly requestsPerMinute: number;
  readonly clock?: Clock;
  /** Milliseconds since 1970, for a `Retry-After` that is a date. */
  readonly wallClock?: () => number;
  /** Uniform in [0, 1). */
  readonly random?: () => number;
}

/** To be raised whenever other pixels are sent for the same image. */
const PREPARATION_VERSION = 1;

type Credential = { readonly key: string } | { readonly why: string };

/** Makes the backend. */
export function createNvDinov2(options: NvDinov2Options): ImageBackend {
  const { log, clock = processClock } = options;
  const client = createNvDinov2Client({
    baseUrl: options.baseUrl,
    proxy: options.proxy,
    requestsPerMinute: options.requestsPerMinute,
    log,
    observer: options.observer,
    clock,
    wallClock: options.wallClock ?? Date.now,
    random: options.random ?? Math.random,
  });
  const join = createJoinedWork<Embedding | Problem>(clock.now);

  /** Embeds a prepared image, together with everybody who asks for the same bytes meanwhile. */
  async function askFor(
    { facts, result }: PreparedOutcome,
    caller: Caller,
    traceparent: string | undefined,
  ): Promise<Embedding | Problem> {
    if ("problem" in result) {
      const { code, detail, cause } = result.problem;
      return new Problem(code, detail, { cause });
    }
    const credential = readCredential(options.apiKey());
    if ("why" in credential) return new Problem("model-unavailable", credential.why);
    const question = { image: result.image, mime: result.mime, key: credential.key, traceparent };
    const id = facts?.sha256 ?? crypto.randomUUID();
    const end = await join(id, caller, (audience) => client.ask(question, audience));
    if (end === "late") return new Problem("upstream-timeout", tooSlow);
    return end === "left" ? new Problem("upstream-timeout", givenUp) : end;
  }

  async function embed(job: EmbedJob): Promise<BackendOutcome> {
    const { outcome: prepared, spent } = job.prepared
      ? // What a decoding made for another model took its time there.
        { outcome: job.prepared, spent: {} }
      : toSpent(await options.prepare(job, maxBase64Chars));
    const { facts, bytes, report } = prepared;
    const { signal, deadline } = job;
    const startedAt = clock.now();
    const result = await askFor(prepared, { signal, deadline }, job.traceparent).catch(unexpected);
    return {
      ...(facts && { facts }),
      ...(bytes && { bytes }),
      ...(report && { report }),
      result,
      timings: { ...spent, upstream: clock.now() - startedAt },
    };
  }

  function unexpected(error: unknown): Problem {
    if (error instanceof Problem) return error;
    log.error("nv-dinov2 made a mistake", { error: String(error) });
    return new Problem("internal-error", "The service made a mistake.", { cause: error });
  }

  return {
    id: "nv-dinov2",
    exactId: "nv-dinov2",
    dimensions: nvDinov2Dimensions,
    maxBase64Chars,
    fingerprint: () => `nv-dinov2 ${options.baseUrl ?? ""} ${PREPARATION_VERSION}`,
    state() {
      const credential = readCredential(options.apiKey());
      const why = "why" in credential ? credential.why : client.fault(credential.key);
      return why === undefined ? { kind: "ready" } : { kind: "unavailable", why };
    },
    admission({ inputs, deadline }) {
      const credential = readCredential(options.apiKey());
      if ("why" in credential) return new Problem("model-unavailable", credential.why);
      return client.refusal(credential.key, inputs, deadline);
    },
    async embed(job) {
      try {
        return await embed(job);
      } catch (error) {
        const result = job.signal.aborted
          ? new Problem("upstream-timeout", givenUp)
          : unexpected(error);
        return { result, timings: {} };
      }
    },
  };
}

function toSpent({ outcome, queueMs: queue }: Queued<PreparedOutcome>) {
  return { outcome, spent: { queue, decode: outcome.timings.decodeMs } };
}

const givenUp = "The request was given up before NVIDIA answered.";

function readCredential(text: string | undefined): Credential {
  const key = text?.trim() ?? "";
  if (key === "") {
    return {
      why: "nv-dinov2 needs NVIDIA_API_KEY, which is not set: get a key at https://build.nvidia.com, or ask for another model.",
    };
  }
  // `fetch` refuses such a header with an error that need not keep the key to itself.
  if (!/^[\x21-\x7e]+$/.test(key)) {
    return { why: "NVIDIA_API_KEY holds characters that no key has: set it again, on one line." };
  }
  return { key };
}
