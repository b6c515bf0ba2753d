/** CLIP on this host: the model's way into the workers, and its images through the queue. */
import { Problem, stackOf } from "../errors.ts";
import type { Log } from "../log.ts";
import type { BackendOutcome, BackendState, ImageBackend } from "./backend.ts";
import type { Batcher } from "./batcher.ts";
import type { EmbedOutcome, PublishedWeights } from "./protocol.ts";

export interface ClipOptions {
  /** What requests call the model, such as `clip-ViT-B-32`. */
  readonly id: string;
  /** Length of its vectors. */
  readonly dimensions: number;
  /** Pixels of its square input. */
  readonly side: number;
  /** The published weights, which somebody must have put on this host; undefined for synthetic ones. */
  readonly weights: PublishedWeights | undefined;
  /** Folder under which the model's graph is made. */
  readonly modelsDir: string;
  /** onnxruntime threads of each worker. */
  readonly threadsPerWorker: number;
  readonly batcher: Batcher;
  readonly log: Log;
}

export interface ClipBackend extends ImageBackend {
  /** Makes or finds the weights, and warms every worker up. Never throws: `state` says how it went. */
  load(): Promise<void>;
}

/** Makes the backend; nothing is loaded before `load`. */
export function createClip(options: ClipOptions): ClipBackend {
  const { batcher, dimensions, id, log, side, threadsPerWorker: threads, weights } = options;
  const exactId = options.weights === undefined ? `${id}@synthetic` : id;
  let state: BackendState = { kind: "loading", why: "The weights are being prepared." };

  async function load(): Promise<void> {
    const startedAt = performance.now();
    try {
      if (weights === undefined) {
        log.warn("the weights are synthetic: vectors mean nothing", { model: exactId });
      }
      const written = await batcher.writeModel(options.modelsDir, weights);
      if ("unavailable" in written) {
        state = { kind: "unavailable", why: `${written.unavailable} ${howToGetWeights(id)}` };
        log.warn("the model is not available", { model: id, why: state.why });
        await batcher.warmUp(undefined);
        return;
      }
      const { imageTower } = written;
      await batcher.warmUp({ imageTower, dimensions, side, threads });
      state = { kind: "ready" };
      log.info("model ready", { model: exactId, ms: Math.round(performance.now() - startedAt) });
    } catch (error) {
      if (error instanceof Problem && error.code === "shutting-down") return;
      state = { kind: "unavailable", why: "The model could not be loaded: the log says why." };
      log.error("the model could not be loaded", { model: exactId, error: stackOf(error) });
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
  return state.kind === "loading" ? { retryAfterS: 5 } : {};
}

function howToGetWeights(id: string): string {
  return `Put the published file into models/${id}/, as the README says; or start with CLIP_WEIGHTS=synthetic to try the service without it, or ask for another model with ?model=.`;
}
