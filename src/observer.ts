/**
 * What the parts of the service tell of their work. They tell it once; metrics, traces and the access log are made
 * of it by whoever puts the service together.
 */

import type { ProblemCode } from "./errors.ts";

/** A stage of one image's or text's way to its vector, as `Server-Timing`, metrics and spans call it. */
export type Stage = "fetch" | "cache" | "queue" | "decode" | "infer" | "upstream";

/** A stage that has ended; times are of `performance.now()`. */
export interface EndedStage {
  readonly stage: Stage;
  readonly startedAt: number;
  readonly endedAt: number;
}

/** How an input came. */
export type SourceKind = "url" | "memory" | "upload" | "file" | "text";

/** What one request leaves behind on its way; nothing in it identifies a picture or whose it is. */
export interface Trail {
  /** Takes note of inputs and how they came. */
  noteInputs(kind: SourceKind, count: number): void;
  /** Takes note of an image, once its bytes are here. */
  noteImage(image: {
    readonly bytes?: number | undefined;
    readonly pixels?: number | undefined;
  }): void;
  /** Takes note of a look into the embedding cache. */
  noteCache(status: "hit" | "miss"): void;
  /** Takes note of an input, or of one of several models, that failed while the request was answered all the same. */
  noteFailure(code: ProblemCode): void;
  /** Takes note of a stage that has ended. */
  noteStage(ended: EndedStage): void;
  /** W3C trace context for a call that is made on behalf of the request; undefined where it is not traced. */
  traceparent(): string | undefined;
}

/** What the parts tell that belongs to no single request. */
export interface Observer {
  /** One task of a worker has ended, with so many inputs in it. */
  batchRun(kind: "image" | "text" | "prepare", size: number): void;
  /** A call of NVIDIA has ended; `outcome` is one of a few words. */
  upstreamCalled(outcome: string, tookMs: number): void;
  /** A call of NVIDIA has waited for its turn under the quota. */
  quotaWaited(waitedMs: number): void;
  /** Calls of NVIDIA stop for a fault that somebody must mend, or go on. */
  breakerTurned(isOpen: boolean): void;
}

/** A request that has its answer, or whose client was gone before. */
export interface ServedRequest {
  readonly requestId: string;
  /** As the client sent it. */
  readonly method: string;
  /** The route's path with its parameters by name, such as `/embeddings/:sha256`; undefined for a path that is none. */
  readonly route: string | undefined;
  /** The HTTP status; `left` where the client was gone, `cut` where the service ended first. */
  readonly status: number | "left" | "cut";
  /** The problem that was answered. */
  readonly code: ProblemCode | undefined;
  /** The model that answered. */
  readonly model: string | undefined;
  /** `performance.now()` at the request's head. */
  readonly startedAt: number;
  /** `performance.now()` when the answer was there. */
  readonly endedAt: number;
  readonly trail: WrittenTrail;
}

/** A trail as it can be read. */
export interface WrittenTrail {
  /** How many inputs came in each way. */
  readonly inputs: ReadonlyMap<SourceKind, number>;
  /** Of all images together. */
  readonly bytes: number;
  /** Of all images together. */
  readonly pixels: number;
  readonly cache: { readonly hit: number; readonly miss: number };
  /** How many failed for each reason, in a request that was answered all the same. */
  readonly failures: ReadonlyMap<ProblemCode, number>;
  readonly stages: readonly EndedStage[];
}

/**
 * Tells of stages of which only the lengths are known: each ends where the next begins, and the last at the end.
 *
 * @param timings ms by stage.
 * @param within no stage began before, and none ended later.
 */
export function noteStages(
  trail: Trail | undefined,
  timings: Readonly<Partial<Record<Stage, number>>>,
  within: Omit<EndedStage, "stage">,
): void {
  if (trail === undefined) return;
  let { endedAt } = within;
  for (const stage of stagesBackwards) {
    const ms = timings[stage];
    if (ms === undefined) continue;
    // The first ones may have been somebody else's, whom this one joined.
    const startedAt = Math.max(within.startedAt, endedAt - ms);
    trail.noteStage({ stage, startedAt, endedAt });
    endedAt = startedAt;
  }
}

const stagesBackwards = ["upstream", "infer", "decode", "queue", "cache"] as const;
