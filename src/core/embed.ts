/** The use case: one image, however it comes, becomes one embedding or one Problem. */
import type { ImageBackend, StageTimings } from "../backends/backend.ts";
import type { ImageFacts } from "../backends/protocol.ts";
import { Problem } from "../errors.ts";
import type { Acquire, ImageSource } from "../sources/source.ts";
import { type Downloads, type SavedFile, savedFile } from "../store/downloads.ts";
import { normalizeL2 } from "../vector/normalize.ts";

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
}

export interface EmbedderOptions {
  readonly backends: readonly ImageBackend[];
  readonly acquire: Acquire;
  readonly downloads: Downloads;
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
  const { backends, acquire, downloads, keepDownloads, requestTimeoutMs } = options;

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
    const outcome = await backend.embed({ image: acquired.image, signal, deadline });
    Object.assign(timings, outcome.timings);
    signal.throwIfAborted();
    const { facts, bytes, result } = outcome;
    if (keep && keepDownloads && facts !== undefined) {
      await downloads.keep(bytes ? { kind: "memory", bytes } : acquired.image, facts);
    }
    if (result instanceof Problem) return result;
    const vector = normalize ? normalizeL2(result.vector) : result.vector;
    return { model: result.model, vector, ...toldOf(facts, keep) };
  }

  /** The model that is asked, where it takes an image now. */
  function admit(model: string, deadline: number): ImageBackend | Problem {
    const backend = backends.find(({ id, exactId }) => [id, exactId].includes(model));
    if (backend === undefined) return unknownModel(model, backends);
    return backend.admission({ inputs: 1, deadline }) ?? backend;
  }

  return {
    backends,
    refusal: (model) => {
      const admitted = admit(model, performance.now() + requestTimeoutMs);
      return admitted instanceof Problem ? admitted : undefined;
    },
    embed: async (input, signal, timings) => {
      const deadline = performance.now() + requestTimeoutMs;
      const backend = admit(input.model, deadline);
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

function toldOf(facts: ImageFacts | undefined, keep: boolean): Pick<Embedded, "sha256" | "saved"> {
  if (facts === undefined) return {};
  return { sha256: facts.sha256, ...(keep && { saved: savedFile(facts) }) };
}

function unknownModel(model: string, backends: readonly ImageBackend[]): Problem {
  const served = [...new Set(backends.flatMap(({ id, exactId }) => [id, exactId]))].join(", ");
  const named = JSON.stringify(model.slice(0, 100));
  return new Problem(
    "unknown-model",
    `The model ${named} is not served here; these are: ${served}.`,
  );
}
