/** The use case: one image, however it comes, becomes one embedding or one Problem. */
import type { BackendOutcome, ImageBackend, StageTimings } from "../backends/backend.ts";
import type { ImageBytes, ImageFacts } from "../backends/protocol.ts";
import { Problem } from "../errors.ts";
import { limits } from "../limits.ts";
import { noteStages, type Trail } from "../observer.ts";
import type { Acquire, ImageSource } from "../sources/source.ts";
import { type Downloads, type SavedFile, type StagedImage, savedFile } from "../store/downloads.ts";
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
  /** Whether the caller wants to see what was embedded. */
  readonly thumbnail?: boolean;
  /** Told of an image's bytes that were fetched, before they wait for a worker; may throw to refuse them. */
  readonly hold?: ((bytes: number) => void) | undefined;
  /** Whose request it is, for metrics, traces and the log. */
  readonly trail?: Trail | undefined;
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
  /** `data:` URI of a small JPEG or PNG; absent where none was wanted, or none could be made. */
  readonly thumbnail?: string;
}

/** Makes the `data:` URI of a small picture; `memory` bytes are given away. Undefined where that fails. */
export type MakeThumbnail = (
  image: ImageBytes,
  terms: { readonly signal: AbortSignal; readonly deadline: number },
) => Promise<string | undefined>;

export interface EmbedderOptions {
  readonly backends: readonly ImageBackend[];
  readonly acquire: Acquire;
  readonly downloads: Downloads;
  /** Absent where every vector is made anew. */
  readonly recall?: Recall | undefined;
  /** Absent where nobody asks for thumbnails. */
  readonly makeThumbnail?: MakeThumbnail;
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
  const { makeThumbnail } = options;

  async function run(
    backend: ImageBackend,
    { source, normalize, keep, thumbnail, hold, trail }: EmbedInput,
    signal: AbortSignal,
    timings: StageTimings,
    deadline: number,
  ): Promise<Embedded | Problem> {
    const image = await acquireNoted(acquire, { source, hold, trail }, signal, timings);
    const startedAt = performance.now();
    const job = { image, signal, deadline, traceparent: trail?.traceparent() };
    const keeping = keep && keepDownloads ? createKeeping(downloads) : undefined;
    try {
      const asked = keeping ? keeping.stageBefore(backend) : backend;
      const outcome = await (recall ? recall.embed(asked, job) : asked.embed(job));
      Object.assign(timings, outcome.timings);
      noteOutcome(trail, outcome, startedAt);
      signal.throwIfAborted();
      const { facts, bytes } = outcome;
      const stored = bytes ? ({ kind: "memory", bytes } as const) : image;
      // Before the file is moved to where it is kept.
      const shown = thumbnail ? await show(outcome, stored, { signal, deadline }) : {};
      signal.throwIfAborted();
      if (facts !== undefined) await keeping?.keep(stored, facts);
      return toEmbedded(outcome, normalize, keep, shown);
    } finally {
      await keeping?.discard();
    }
  }

  async function show(
    { result }: BackendOutcome,
    image: ImageBytes,
    terms: Parameters<MakeThumbnail>[1],
  ): Promise<Pick<Embedded, "thumbnail">> {
    if (result instanceof Problem) return {};
    const thumbnail = await makeThumbnail?.(copyOf(image), terms);
    return thumbnail === undefined ? {} : { thumbnail };
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

/** A larger image is written once it is known that it is kept: until then it would be in memory twice. */
const maxStagedBytes = limits.maxUploadInMemoryBytes;

/** Keeps one image: the disk is at it while a model is asked, which is not done for one that was here before. */
function createKeeping(downloads: Pick<Downloads, "keep" | "stage">) {
  let staged: StagedImage | undefined;
  return {
    stageBefore: (backend: ImageBackend): ImageBackend => ({
      ...backend,
      embed: (job) => {
        const { image } = job;
        const isStaged = image.kind === "file" || image.bytes.length <= maxStagedBytes;
        if (isStaged) staged = downloads.stage(image);
        return backend.embed(job);
      },
    }),
    keep: async (image: ImageBytes, facts: ImageFacts): Promise<void> => {
      await (staged ? staged.keep(facts) : downloads.keep(image, facts));
    },
    discard: async (): Promise<void> => await staged?.discard(),
  };
}

/** Gets an image's bytes, and takes note of how they came and how long that took. */
export async function acquireNoted(
  acquire: Acquire,
  { source, hold, trail }: Pick<EmbedInput, "source" | "hold" | "trail">,
  signal: AbortSignal,
  timings: StageTimings,
): Promise<ImageBytes> {
  trail?.noteInputs(source.kind, 1);
  const startedAt = performance.now();
  // A host that fails is what makes answers slow most of all.
  const noteFetch = () => {
    if (source.kind !== "url") return;
    const endedAt = performance.now();
    timings.fetch = endedAt - startedAt;
    trail?.noteStage({ stage: "fetch", startedAt, endedAt });
  };
  const image = await acquire(source, signal).finally(noteFetch);
  trail?.noteImage({ bytes: bytesOf(source, image) });
  if (source.kind === "url" && image.kind === "memory") hold?.(image.bytes.byteLength);
  return image;
}

function bytesOf(source: ImageSource, image: ImageBytes): number | undefined {
  if (source.kind === "upload") return source.part.sizeBytes;
  return image.kind === "memory" ? image.bytes.byteLength : undefined;
}

function noteOutcome(
  trail: Trail | undefined,
  { facts, timings, cache }: BackendOutcome & Pick<Embedded, "cache">,
  startedAt: number,
): void {
  noteStages(trail, timings, { startedAt, endedAt: performance.now() });
  if (facts !== undefined) trail?.noteImage({ pixels: facts.width * facts.height });
  if (cache !== undefined) trail?.noteCache(cache);
}

/** What can be given away; a file is only read. */
export function copyOf(image: ImageBytes): ImageBytes {
  return image.kind === "memory" ? { ...image, bytes: image.bytes.slice() } : image;
}

function toEmbedded(
  { facts, result, cache }: BackendOutcome & Pick<Embedded, "cache">,
  normalize: boolean,
  keep: boolean,
  shown: Pick<Embedded, "thumbnail">,
): Embedded | Problem {
  if (result instanceof Problem) return result;
  return {
    model: result.model,
    vector: normalize ? normalizeL2(result.vector) : result.vector,
    ...(facts && { sha256: facts.sha256 }),
    ...(facts && keep && { saved: savedFile(facts) }),
    ...(cache && { cache }),
    ...shown,
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
