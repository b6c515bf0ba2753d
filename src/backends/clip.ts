/** CLIP on this host: the model's way into the workers, and its images and texts through the queue. */
import { Problem, stackOf } from "../errors.ts";
import { modelsFolderFault } from "../models/folder-fault.ts";
import type { BackendOutcome, BackendState, ImageBackend, TextBackend } from "./backend.ts";
import type { Batcher } from "./batcher.ts";
import { type ClipFilesOptions, obtainClipFiles } from "./clip-files.ts";
import type { ClipTextModelFile, EmbedOutcome, PixelInput } from "./protocol.ts";

export interface ClipOptions extends ClipFilesOptions {
  /** Length of its vectors. */
  readonly dimensions: number;
  /** What it wants its pixels to be. */
  readonly input: PixelInput;
  /** onnxruntime threads of each worker. */
  readonly threadsPerWorker: number;
  readonly batcher: Batcher;
}

/** How the model is loaded. */
export interface LoadTerms {
  /** Whether a download that failed, or a disk that was full, is tried again, as often as it takes. */
  readonly keepsTrying: boolean;
  /** Ends the loading; what was downloaded stays for the next time. */
  readonly signal: AbortSignal;
}

export interface ClipBackend extends ImageBackend, TextBackend {
  /**
   * Finds, downloads or makes the weights, and warms every worker up; nothing where it is ready already.
   * Never throws: `state` says how it went.
   */
  load(terms: LoadTerms): Promise<void>;
}

/** Makes the backend; nothing is loaded before `load`. */
export function createClip(options: ClipOptions): ClipBackend {
  const { batcher, dimensions, id, input, log, threadsPerWorker: threads, weights } = options;
  const { exactId } = weights;
  let state: BackendState = { kind: "loading", why: "The weights are being prepared." };
  let textModel: ClipTextModelFile | undefined;

  /** Logs why the model could not be loaded. @returns one sentence for callers. */
  function tellFailure(error: unknown): string {
    const fault = error instanceof Problem ? error.message : modelsFolderFault(error);
    log.error("the model could not be loaded", { model: exactId, error: fault ?? stackOf(error) });
    return fault ?? "The model could not be loaded: the log says why.";
  }

  async function load(terms: LoadTerms): Promise<void> {
    if (state.kind === "ready") return;
    const startedAt = performance.now();
    try {
      if (weights.isSynthetic) {
        log.warn("the weights are synthetic: vectors mean nothing", { model: exactId });
      }
      const onState = (next: BackendState) => {
        state = next;
      };
      const files = await obtainClipFiles(options, { ...terms, onState });
      if (files === undefined) return;
      const { imageTower, textTower } = files;
      textModel = { textTower, dimensions, threads };
      await batcher.warmUp({ imageTower, dimensions, ...input, threads });
      state = { kind: "ready" };
      log.info("model ready", { model: exactId, ms: Math.round(performance.now() - startedAt) });
    } catch (error) {
      if (terms.signal.aborted) return;
      if (error instanceof Problem && error.code === "shutting-down") return;
      state = { kind: "unavailable", why: tellFailure(error) };
    }
  }

  return {
    id,
    exactId,
    dimensions,
    load,
    state: () => state,
    admission: () =>
      state.kind === "ready"
        ? undefined
        : new Problem("model-unavailable", state.why, retryOf(state)),
    embed: async ({ image, signal, deadline }) => {
      const { outcome, queueMs } = await batcher.embed({ image, signal, deadline });
      return toBackendOutcome(outcome, queueMs, exactId);
    },
    embedText: async (job) => {
      if (textModel === undefined) throw new Error("a text before the model is loaded");
      const { outcome, queueMs } = await batcher.embedText({ ...job, model: textModel });
      const { vector, truncated, inferMs: infer } = outcome;
      return { model: exactId, vector, truncated, timings: { queue: queueMs, infer } };
    },
  };
}

function toBackendOutcome(outcome: EmbedOutcome, queueMs: number, model: string): BackendOutcome {
  const { result, timings, ...rest } = outcome;
  const { decodeMs: decode, inferMs: infer } = timings;
  return {
    ...rest,
    result:
      "vector" in result
        ? { model, vector: result.vector }
        : new Problem(result.problem.code, result.problem.detail, { cause: result.problem.cause }),
    timings: { queue: queueMs, decode, infer },
  };
}

function retryOf(state: BackendState): { readonly retryAfterS?: number } {
  return state.kind === "loading" ? { retryAfterS: state.retryAfterS ?? 5 } : {};
}
