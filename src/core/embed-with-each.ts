/** The use case: one image, fetched, hashed and decoded once, becomes an embedding or a Problem of each model. */
import type { BackendOutcome, EmbedJob, ImageBackend, StageTimings } from "../backends/backend.ts";
import type { ImageBytes, ImageFacts, ImageReport } from "../backends/protocol.ts";
import { Problem } from "../errors.ts";
import { centreCrop, type Rectangle } from "../image/centre-crop.ts";
import { turnOf } from "../image/orientation.ts";
import { noteStages } from "../observer.ts";
import type { Acquire } from "../sources/source.ts";
import { normalizeL2 } from "../vector/normalize.ts";
import {
  acquireNoted,
  copyOf,
  type EmbedInput,
  type MakeThumbnail,
  unknownModel,
} from "./embed.ts";
import { findModel } from "./model-ids.ts";
import type { CacheStatus, Recall } from "./recall.ts";

export interface EachInput extends Pick<EmbedInput, "source" | "normalize" | "hold" | "trail"> {
  /** Ids of models, plain or exact; at least one. */
  readonly models: readonly string[];
  /** Whether a report on the decoding is wanted: then the image is decoded in any case. */
  readonly isReported: boolean;
  /** Whether the caller wants to see what was embedded. */
  readonly thumbnail?: boolean;
}

/** What one of the models came to. */
export interface OfOneModel {
  /** As it was asked for. */
  readonly asked: string;
  readonly outcome:
    | Problem
    | {
        /** Exactly what made the vector. */
        readonly model: string;
        /** float32, [dimensions]. */
        readonly vector: Float32Array;
      };
}

/** What is told of an image that was decoded. */
export interface Report extends Omit<ImageFacts, "sha256">, ImageReport {
  /** Pixels of the upright picture; `width` and `height` are those that are stored. */
  readonly upright: Pick<Rectangle, "width" | "height">;
  /** What a model that cuts out the centre sees of the upright picture; absent where none was asked for. */
  readonly crop?: Rectangle;
}

/** What a caller gets: some of the models have a vector. */
export interface EmbeddedWithEach {
  /** Lower-case hex digest of the bytes. */
  readonly sha256: string;
  /** In the order asked. */
  readonly results: readonly OfOneModel[];
  readonly report?: Report;
  /** `data:` URI of a small JPEG or PNG; absent where none was wanted, or none could be made. */
  readonly thumbnail?: string;
  /** Whether all vectors were remembered; absent where none are. */
  readonly cache?: CacheStatus;
}

export interface EachEmbedder {
  /**
   * Embeds one image with several models; nothing is kept.
   *
   * @param timings filled in as the stages end.
   * @returns the first problem where no model has a vector.
   * @throws only what nobody expected, and the signal's reason when the caller left.
   */
  embed(
    input: EachInput,
    signal: AbortSignal,
    timings: StageTimings,
  ): Promise<EmbeddedWithEach | Problem>;
}

interface EachEmbedderOptions {
  readonly backends: readonly ImageBackend[];
  readonly acquire: Acquire;
  /** Absent where every vector is made anew. */
  readonly recall?: Recall | undefined;
  /** Decodes an image for nothing but its report, where every vector was known. */
  readonly inspect: (job: EmbedJob) => Promise<Pick<BackendOutcome, "facts" | "report" | "bytes">>;
  /** Absent where nobody asks for thumbnails. */
  readonly makeThumbnail?: MakeThumbnail;
  /** ms from the request's last byte to its answer. */
  readonly requestTimeoutMs: number;
}

/** What is known of the image so far: each model's turn leaves more. */
interface Progress {
  image: ImageBytes;
  facts?: ImageFacts | undefined;
  report?: ImageReport | undefined;
  prepared?: BackendOutcome["prepared"];
  hits: number;
}

/** What holds for every model's turn. */
interface Terms {
  readonly of: Pick<EmbedJob, "signal" | "deadline" | "traceparent">;
  readonly isReported: boolean;
  readonly trail: EachInput["trail"];
}

/** Makes the use case from its adapters. */
export function createEachEmbedder(options: EachEmbedderOptions): EachEmbedder {
  const { backends, acquire, recall, inspect, makeThumbnail, requestTimeoutMs } = options;

  /** A model that takes an image now, or why it does not. */
  function admit(model: string, deadline: number): ImageBackend | Problem {
    const backend = findModel(backends, model);
    if (backend === undefined) return unknownModel(model, backends);
    return backend.admission({ kind: "image", inputs: 1, deadline }) ?? backend;
  }

  /** Gets the bytes, hashed where vectors are kept. */
  async function open(input: EachInput, signal: AbortSignal, timings: StageTimings) {
    const image = await acquireNoted(acquire, input, signal, timings);
    return (await recall?.digest(image)) ?? image;
  }

  async function completeReport({ of: job }: Terms, progress: Progress): Promise<void> {
    const { image } = progress;
    if (progress.report !== undefined || isGone(image)) return;
    const seen = await inspect({ ...job, image, also: { isReported: true } });
    progress.image = broughtBack(image, seen);
    progress.facts ??= seen.facts;
    progress.report = seen.report;
  }

  async function show(
    image: ImageBytes,
    of: Terms["of"],
  ): Promise<Pick<EmbeddedWithEach, "thumbnail">> {
    const thumbnail = isGone(image) ? undefined : await makeThumbnail?.(copyOf(image), of);
    return thumbnail === undefined ? {} : { thumbnail };
  }

  async function embed(
    input: EachInput,
    signal: AbortSignal,
    timings: StageTimings,
  ): Promise<EmbeddedWithEach | Problem> {
    const deadline = performance.now() + requestTimeoutMs;
    const admitted = input.models.map((model) => [model, admit(model, deadline)] as const);
    const served = new Map(
      admitted.flatMap(([model, one]) => (one instanceof Problem ? [] : [[model, one] as const])),
    );
    const [first] = admitted;
    if (served.size === 0 && first?.[1] instanceof Problem) return first[1];
    const image = await open(input, signal, timings);
    const progress: Progress = { image, hits: 0 };
    const { isReported, trail } = input;
    const traceparent = trail?.traceparent();
    const terms = { of: { signal, deadline, traceparent }, isReported, trail };
    const order = inOrder([...new Set(served.values())], image, recall);
    const results = await askEach(recall, order, terms, progress, timings);
    if (isReported) await completeReport(terms, progress);
    noteSize(progress, trail);
    const all = admitted.map(([asked, one]) => ({
      asked,
      outcome: one instanceof Problem ? one : toOutcome(results.get(one), input.normalize),
    }));
    const problem = onlyProblem(all);
    if (problem !== undefined) return problem;
    noteFailures(all, trail);
    const shown = input.thumbnail ? await show(progress.image, terms.of) : {};
    signal.throwIfAborted();
    return {
      sha256: progress.facts?.sha256 ?? progress.image.sha256 ?? "",
      results: all,
      ...toReport(progress, order),
      ...shown,
      ...(recall && { cache: progress.hits === results.size ? "hit" : "miss" }),
    };
  }

  return {
    embed: async (...call) => {
      try {
        return await embed(...call);
      } catch (error) {
        if (error instanceof Problem) return error;
        throw error;
      }
    },
  };
}

/** Lets one model after the other have the image. */
async function askEach(
  recall: Recall | undefined,
  order: readonly ImageBackend[],
  terms: Terms,
  progress: Progress,
  timings: StageTimings,
): Promise<ReadonlyMap<ImageBackend, BackendOutcome["result"]>> {
  const results = new Map<ImageBackend, BackendOutcome["result"]>();
  let last: BackendOutcome["result"] | undefined;
  for (const [turn, backend] of order.entries()) {
    // It went with a worker that did not come back.
    if (!isGone(progress.image)) {
      const also = alsoOf(backend, order.slice(turn + 1), terms, progress);
      const job = { ...terms.of, ...(also && { also }) };
      const notes = { timings, trail: terms.trail };
      last = await ask(recall, backend, job, progress, notes).catch(asProblem);
      terms.of.signal.throwIfAborted();
    }
    if (last !== undefined) results.set(backend, last);
  }
  return results;
}

/** One model's turn. The image's bytes go to it, and come back where they still are. */
async function ask(
  recall: Recall | undefined,
  backend: ImageBackend,
  job: Omit<EmbedJob, "image">,
  progress: Progress,
  { timings, trail }: { readonly timings: StageTimings; readonly trail: EachInput["trail"] },
): Promise<BackendOutcome["result"]> {
  const startedAt = performance.now();
  const { image, prepared } = progress;
  const takesPrepared = backend.maxBase64Chars !== undefined && prepared !== undefined;
  const own = { ...job, image, ...(takesPrepared && { prepared }) };
  const outcome: BackendOutcome & { readonly cache?: CacheStatus | undefined } = await (recall
    ? recall.embed(backend, own)
    : backend.embed(own));
  progress.image = broughtBack(image, outcome);
  progress.facts ??= outcome.facts;
  progress.report ??= outcome.report;
  progress.prepared ??= outcome.prepared;
  if (outcome.cache !== undefined) {
    trail?.noteCache(outcome.cache);
    if (outcome.cache === "hit") progress.hits += 1;
  }
  Object.assign(timings, outcome.timings);
  noteStages(trail, outcome.timings, { startedAt, endedAt: performance.now() });
  return outcome.result;
}

/** Whoever decodes for the others is before them, and whose vector is known, before all. */
function inOrder(
  served: readonly ImageBackend[],
  { sha256 }: ImageBytes,
  recall: Recall | undefined,
): readonly ImageBackend[] {
  const isKnown = (one: ImageBackend) =>
    sha256 !== undefined && recall?.find(one, sha256) !== undefined;
  const rank = (one: ImageBackend) => (isKnown(one) ? 0 : one.decodesForOthers ? 1 : 2);
  return served.toSorted((one, other) => rank(one) - rank(other));
}

/** What one model's decoding is to give beside its vector. */
function alsoOf(
  backend: ImageBackend,
  later: readonly ImageBackend[],
  { isReported }: Terms,
  progress: Progress,
): EmbedJob["also"] {
  const hosted = later.find((one) => one.maxBase64Chars !== undefined);
  const maxBase64Chars = backend.decodesForOthers ? hosted?.maxBase64Chars : undefined;
  const wantsReport = isReported && progress.report === undefined;
  if (maxBase64Chars === undefined && !wantsReport) return undefined;
  return {
    ...(maxBase64Chars !== undefined && { maxBase64Chars }),
    ...(wantsReport && { isReported }),
  };
}

/** The first problem, where there is nothing but problems. */
function onlyProblem(all: readonly OfOneModel[]): Problem | undefined {
  const found = all.map(({ outcome }) => outcome).filter((one) => one instanceof Problem);
  return found.length === all.length ? found[0] : undefined;
}

function noteFailures(all: readonly OfOneModel[], trail: EachInput["trail"]): void {
  for (const { outcome } of all) if (outcome instanceof Problem) trail?.noteFailure(outcome.code);
}

function asProblem(error: unknown): Problem {
  if (error instanceof Problem) return error;
  throw error;
}

function noteSize({ facts }: Progress, trail: EachInput["trail"]): void {
  if (facts !== undefined) trail?.noteImage({ pixels: facts.width * facts.height });
}

/** The image once it has been with a worker, which gives the bytes of a `memory` image back. */
function broughtBack(
  image: ImageBytes,
  { facts, bytes }: Pick<BackendOutcome, "facts" | "bytes">,
): ImageBytes {
  const sha256 = facts?.sha256 ?? image.sha256;
  const known = sha256 === undefined ? {} : { sha256 };
  return bytes ? { kind: "memory", bytes, ...known } : { ...image, ...known };
}

/** Whether the bytes were given away and did not come back. */
function isGone(image: ImageBytes): boolean {
  return image.kind === "memory" && image.bytes.buffer.detached;
}

function toOutcome(
  result: BackendOutcome["result"] | undefined,
  normalize: boolean,
): OfOneModel["outcome"] {
  if (result === undefined) throw new Error("a model has no outcome");
  if (result instanceof Problem) return result;
  const { model, vector } = result;
  return { model, vector: normalize ? normalizeL2(vector) : vector };
}

function toReport(
  { facts, report }: Progress,
  asked: readonly ImageBackend[],
): { readonly report?: Report } {
  if (facts === undefined || report === undefined) return {};
  const { sha256: _, ...size } = facts;
  const { width, height } = size;
  const isOnSide = report.isTurned && turnOf(report.orientation).isTransposed;
  const upright = isOnSide ? { width: height, height: width } : { width, height };
  const side = asked.find((one) => one.side !== undefined)?.side;
  const crop = side === undefined ? {} : { crop: centreCrop(upright.width, upright.height, side) };
  return { report: { ...size, ...report, upright, ...crop } };
}
