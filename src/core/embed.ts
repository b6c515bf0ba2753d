/** The use case: one image, however it comes, becomes one embedding or one Problem. */
import type { BackendOutcome, ImageBackend, StageTimings } from "../backends/backend.ts";
import { Problem } from "../errors.ts";
import type { Acquire, ImageSource } from "../sources/source.ts";
import { type Downloads, type SavedFile, savedFile } from "../store/downloads.ts";
import { normalizeL2 } from "../vector/normalize.ts";
import { findModel, listIds } from "./model-ids.ts";
import type { CacheStatus, Recall } from "./recall.ts";

export interface EmbedInput {
  readonly source: ImageSource;
  /** A model's id, plain or exact. */
  readonly model: string;
  /** Whether the vector is scaled to unit length. */
  readonly normalize: boolean;
  /** Whether the request is one that keeps the bytes. */
  readonly keep: boolean;
  /** Told of an image's bytes that were fetched, before they wait for a worker; may throw to refuse them. */
  readonly hold?: ((bytes: number) => void) | undefined;
  /**
   * `performance.now()` by which the vector must be there, of an image that is one of several: these were admitted
   * together.
   */
  readonly deadline?: number | undefined;
}

/** What a caller gets for an image. */
export interface Embedded {
  /** Exactly what made the vector. */
  readonly model: string;
  /** float32, [dimensions]. */
  readonly vector: Float32Array;
  /** Lower-case hex digest of the bytes, where the model told. */
  readonly sha256?: string;
  /** Present when the request is one that keeps the bytes. */
  readonly saved?: SavedFile;
  /** Whether the vector was remembered; absent where none are. */
  readonly cache?: CacheStatus;
}

export interface EmbedderOptions {
  readonly backends: readonly ImageBackend[];
  readonly acquire: Acquire;
  readonly downloads: Downloads;
  /** Absent where every vector is made anew. */
  readonly recall?: Recall | undefined;
  /** Whether anything is kept at all. */
  readonly keepDownloads: boolean;
  /** ms from the request's last byte to its answer. */
  readonly requestTimeoutMs: number;
}

export interface Embedder {
  readonly backends: readonly ImageBackend[];
  /** The problem that an image for this model would meet now, if one is known before it is here. */
  refusal(model: string): Problem | undefined;
  /**
   * Embeds one image.
   *
   * @param timings filled in as the stages end, also when the outcome is a Problem.
   * @throws only what nobody expected, and the signal's reason when the caller left.
   */
  embed(input: EmbedInput, signal: AbortSignal, timings: StageTimings): Promise<Embedded | Problem>;
}

/** Makes the use case from its adapters. */
export function createEmbedder(options: EmbedderOptions): Embedder {
  const { backends, acquire, downloads, keepDownloads, requestTimeoutMs, recall } = options;

  async function run(
    backend: ImageBackend,
    { source, normalize, keep, hold }: EmbedInput,
    signal: AbortSignal,
    timings: StageTimings,
    deadline: number,
  ): Promise<Embedded | Problem> {
    const acquired = await acquire(source, signal);
    if (acquired.fetchMs !== undefined) timings.fetch = acquired.fetchMs;
    if (source.kind === "url" && "bytes" in acquired.image) hold?.(acquired.image.bytes.byteLength);
    const job = { image: acquired.image, signal, deadline };
    const outcome = await (recall ? recall.embed(backend, job) : backend.embed(job));
    Object.assign(timings, outcome.timings);
    signal.throwIfAborted();
    const { facts, bytes } = outcome;
    if (keep && keepDownloads && facts !== undefined) {
      await downloads.keep(bytes ? { kind: "memory", bytes } : acquired.image, facts);
    }
    return toEmbedded(outcome, normalize, keep);
  }

  function find(model: string): ImageBackend | Problem {
    return findModel(backends, model) ?? unknownModel(model, backends);
  }

  /** The model that is asked, where it takes an image now. */
  function admit(model: string, deadline: number): ImageBackend | Problem {
    const backend = find(model);
    if (backend instanceof Problem) return backend;
    return backend.admission({ kind: "image", inputs: 1, deadline }) ?? backend;
  }

  return {
    backends,
    refusal: (model) => {
      const admitted = admit(model, performance.now() + requestTimeoutMs);
      return admitted instanceof Problem ? admitted : undefined;
    },
    embed: async (input, signal, timings) => {
      const deadline = input.deadline ?? performance.now() + requestTimeoutMs;
      const backend =
        input.deadline === undefined ? admit(input.model, deadline) : find(input.model);
      if (backend instanceof Problem) return backend;
      try {
        return await run(backend, input, signal, timings, deadline);
      } catch (error) {
        if (error instanceof Problem) return error;
        throw error;
      }
    },
  };
}

function toEmbedded(
  { facts, result, cache }: BackendOutcome & Pick<Embedded, "cache">,
  normalize: boolean,
  keep: boolean,
): Embedded | Problem {
  if (result instanceof Problem) return result;
  return {
    model: result.model,
    vector: normalize ? normalizeL2(result.vector) : result.vector,
    ...(facts && { sha256: facts.sha256 }),
    ...(facts && keep && { saved: savedFile(facts) }),
    ...(cache && { cache }),
  };
}

/** The problem of a model that no backend is. */
export function unknownModel(model: string, backends: readonly ImageBackend[]): Problem {
  const served = listIds(backends);
  const named = JSON.stringify(model.slice(0, 100));
  return new Problem(
    "unknown-model",
    `The model ${named} is not served here; these are: ${served}.`,
  );
}
