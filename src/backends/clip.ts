/** CLIP on this host: the model's way into the workers, and its images and texts through the queue. */
import { basename } from "node:path";
import { messageOf, Problem, stackOf } from "../errors.ts";
import { modelsFolderFault } from "../models/folder-fault.ts";
import { int8Folder } from "../models/prepared.ts";
import type { BackendOutcome, BackendState, ImageBackend, TextBackend } from "./backend.ts";
import type { Batcher } from "./batcher.ts";
import { type ClipFilesOptions, obtainClipFiles, type WrittenFiles } from "./clip-files.ts";
import { createClipState } from "./clip-state.ts";
import type {
  ClipModelFile,
  ClipTextModelFile,
  EmbedOutcome,
  ModelToWrite,
  PixelInput,
  TowerSource,
} from "./protocol.ts";

export interface ClipOptions extends ClipFilesOptions {
  /** Length of its vectors. */
  readonly dimensions: number;
  /** What it wants its pixels to be. */
  readonly input: PixelInput;
  /** onnxruntime threads of each worker. */
  readonly threadsPerWorker: number;
  /** Those of the session for a picture that comes alone; undefined where there is to be none. */
  readonly wideThreads?: number | undefined;
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
   * Finds, downloads or makes the weights, and warms the workers up, as the batcher does; nothing where it is ready
   * already. Never throws: `state` says how it went.
   */
  load(terms: LoadTerms): Promise<void>;
}

/** Makes the backend; nothing is loaded before `load`. */
export function createClip(options: ClipOptions): ClipBackend {
  const { batcher, dimensions, id, input, log, threadsPerWorker: threads, weights } = options;
  const { exactId, textId } = weights;
  const state = createClipState(options.clock);
  let textModel: ClipTextModelFile | undefined;
  let fingerprint: string | undefined;

  /** Logs why the model could not be loaded. @returns one sentence for callers. */
  function tellFailure(error: unknown): string {
    const fault = error instanceof Problem ? error.message : modelsFolderFault(error);
    log.error("the model could not be loaded", { model: exactId, error: fault ?? stackOf(error) });
    return fault ?? "The model could not be loaded: the log says why.";
  }

  function tellTextFailure(error: unknown): never {
    if (state.noteTextFailure(error)) {
      log.error("texts cannot be embedded", { model: exactId, error: messageOf(error) });
    }
    throw error;
  }

  async function load(terms: LoadTerms): Promise<void> {
    if (state.current().kind === "ready") return;
    const startedAt = performance.now();
    try {
      if (weights.isSynthetic) {
        log.warn("the weights are synthetic: vectors mean nothing", { model: exactId });
      }
      const files = await obtainClipFiles(options, { ...terms, onState: state.set });
      if (files === undefined) return;
      const { textTower, packed, model } = files;
      const packedTextTower = packed?.textTower;
      const skipsPadding = model.from.kind !== "onnx";
      textModel = { textTower, packedTextTower, skipsPadding, dimensions, threads };
      await batcher.warmUp(modelFileOf(files, options));
      fingerprint = fingerprintOf(exactId, input, model);
      state.set({ kind: "ready" });
      log.info("model ready", { model: exactId, ms: Math.round(performance.now() - startedAt) });
    } catch (error) {
      if (terms.signal.aborted) return;
      if (error instanceof Problem && error.code === "shutting-down") return;
      state.set({ kind: "unavailable", why: tellFailure(error) });
    }
  }

  return {
    id,
    exactId,
    textId,
    dimensions,
    load,
    fingerprint: () => fingerprint,
    side: input.side,
    decodesForOthers: true,
    state: state.current,
    admission: (demand) => {
      const now = state.current();
      return now.kind === "ready"
        ? batcher.refusal(demand)
        : new Problem("model-unavailable", now.why, retryOf(now));
    },
    embed: async (job) => {
      // Others may have come while this image was fetched.
      const refused = batcher.refusal({ kind: "image", inputs: 1, deadline: job.deadline });
      if (refused !== undefined) throw refused;
      const { outcome, queueMs } = await batcher.embed(job);
      return toBackendOutcome(outcome, queueMs, exactId);
    },
    embedText: async (job) => {
      if (textModel === undefined) throw new Error("a text before the model is loaded");
      const embedded = batcher.embedText({ ...job, model: textModel });
      const { outcome, queueMs } = await embedded.catch(tellTextFailure);
      state.noteText();
      const { vector, truncated, tokens, inferMs: infer } = outcome;
      return { model: textId, vector, truncated, tokens, timings: { queue: queueMs, infer } };
    },
  };
}

/** Weights that are not packed are not shared: a second session would hold a copy of its own. */
function modelFileOf(
  { imageTower, packed }: WrittenFiles,
  { dimensions, input, threadsPerWorker: threads, wideThreads }: ClipOptions,
): ClipModelFile {
  const own = { imageTower, dimensions, ...input, threads };
  return packed ? { ...own, packedImageTower: packed.imageTower, wideThreads } : own;
}

/** To be raised whenever the same image gives other pixels: a decoder or the resampler was changed. */
const PIXELS_VERSION = 1;

/** The folder's name has the version of what is made from the weights. */
function fingerprintOf(exactId: string, input: PixelInput, model: ModelToWrite): string {
  const { side, mean, std } = input;
  const { folder, from, int8 } = model;
  const image = int8 === undefined ? folder : int8Folder(folder, int8);
  const made = `${basename(image)} ${digestOf(from)}`;
  return `${exactId} ${made} ${side} ${mean.join()} ${std.join()} ${PIXELS_VERSION}`;
}

function digestOf(from: TowerSource): string {
  switch (from.kind) {
    case "seed":
      return "";
    case "weights":
      return from.sha256;
    case "onnx":
      return from.image.sha256;
    default:
      return from satisfies never;
  }
}

function toBackendOutcome(outcome: EmbedOutcome, queueMs: number, model: string): BackendOutcome {
  const { result, timings, prepared, ...rest } = outcome;
  const { decodeMs: decode, inferMs: infer } = timings;
  const { facts } = rest;
  return {
    ...rest,
    ...(prepared && { prepared: { result: prepared, timings, ...(facts && { facts }) } }),
    result:
      "vector" in result
        ? { model, vector: result.vector }
        : new Problem(result.problem.code, result.problem.detail, { cause: result.problem.cause }),
    timings: { queue: queueMs, decode, infer },
  };
}

function retryOf(state: Exclude<BackendState, { kind: "ready" }>): {
  readonly retryAfterS?: number;
} {
  if (state.kind === "loading") return { retryAfterS: state.retryAfterS ?? 5 };
  const { retryAfterS } = state;
  return retryAfterS === undefined ? {} : { retryAfterS };
}
