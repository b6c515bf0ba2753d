/** What is known of one request while it is served, beside Elysia's own context. */
import type { StageTimings } from "../backends/backend.ts";
import type { Ticket } from "../core/admission.ts";
import type { Problem } from "../errors.ts";
import { limits } from "../limits.ts";
import type { RequestTrace } from "../monitoring/tracing.ts";
import type { ServedRequest, Trail, WrittenTrail } from "../observer.ts";
import type { Spool } from "../store/downloads.ts";
import { createTrail } from "./trail.ts";

export interface Call {
  readonly requestId: string;
  /** `performance.now()` at the request's head. */
  readonly startedAt: number;
  readonly timings: StageTimings;
  /** What is told of its way to metrics, traces and the log. */
  readonly trail: Trail & WrittenTrail;
  /** Undefined where it is not traced. */
  readonly trace: RequestTrace | undefined;
  /** Files under way: discarded when the call ends, unless they were kept. */
  readonly spools: Spool[];
  /** Place and memory, given back when the call ends. */
  ticket: Ticket | undefined;
  /** What went wrong, for the log. */
  problem: Problem | undefined;
  /**
   * To be called when the call has deadlines of its own for everything: Bun would cut a body that arrives
   * slowly (under 16 kB/s), and an answer that is long in the making.
   */
  readonly keepOpen: () => void;
  /** The model that answered, for the log. */
  model: string | undefined;
  /** Name of the API key that the client came with, for the log. */
  apiKeyName: string | undefined;
  /** Address of the client that was refused for asking too often, for the log: no other line has one. */
  refusedClient: string | undefined;
  /** The other end of the connection, a client or a proxy; undefined where the socket has no address. */
  readonly peerAddress: () => string | undefined;
  /** Headers of the answer, whatever it will be. */
  readonly answerHeaders: Headers;
}

/** The calls under way, by their request. */
export type Calls = WeakMap<Request, Call>;

/** Takes note of a call that has its answer; `path` is the one that was asked for. */
export type OnServed = (served: ServedRequest, call: Call, path: string) => void;

/** Begins a call; the client's own request id is taken when it is a plain token. */
export function beginCall(
  request: Request,
  { keepOpen, peerAddress }: Pick<Call, "keepOpen" | "peerAddress">,
  trace?: RequestTrace,
): Call {
  return {
    requestId: ownId(request.headers.get("x-request-id")) ?? crypto.randomUUID(),
    startedAt: performance.now(),
    timings: {},
    trail: createTrail(trace?.traceparent),
    trace,
    keepOpen,
    spools: [],
    ticket: undefined,
    problem: undefined,
    model: undefined,
    apiKeyName: undefined,
    refusedClient: undefined,
    peerAddress,
    answerHeaders: new Headers(),
  };
}

/** Gives back what a call holds: files under way, place and memory. */
export async function endCall({ spools, ticket }: Call): Promise<void> {
  await Promise.all(spools.map((spool) => spool.discard()));
  ticket?.release();
}

/** RFC 9110 `token` without the characters that a log or a shell could trip over. */
const plainToken = new RegExp(`^[A-Za-z0-9._~+-]{1,${limits.maxRequestIdChars}}$`);

function ownId(header: string | null): string | undefined {
  return header !== null && plainToken.test(header) ? header : undefined;
}

/** The call of a request. @throws Error for a request that never came through the server. */
export function callOf(calls: Calls, request: Request): Call {
  const call = calls.get(request);
  if (call === undefined) throw new Error("the request has no call");
  return call;
}

/** `Server-Timing` (W3C) of a call, in ms. */
export function serverTiming(call: Call, now: number): string {
  const stages = Object.entries({ ...call.timings, total: now - call.startedAt });
  return stages.map(([name, ms]) => `${name};dur=${ms.toFixed(1)}`).join(", ");
}
