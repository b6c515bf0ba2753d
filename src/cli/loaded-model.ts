/** A model for one command: loaded, used, and its workers ended. */
import type { Backend } from "../backends/backend.ts";
import type { Batcher } from "../backends/batcher.ts";
import type { ClipBackend } from "../backends/clip.ts";
import { inTime } from "../backends/deadline.ts";
import type { Embedder } from "../core/embed.ts";
import type { TextEmbedder } from "../core/embed-text.ts";
import { limits } from "../limits.ts";
import type { CommandCall } from "./command-call.ts";

/** What a command that embeds is made of. */
export interface EmbeddingParts {
  readonly embedder: Embedder;
  readonly textEmbedder: TextEmbedder;
  readonly clip: Backend & Pick<ClipBackend, "load">;
  readonly batcher: Pick<Batcher, "close" | "prepareUpstream">;
  /** Where vectors of earlier runs are found; undefined where none are kept. */
  readonly memory?: { open(): Promise<void>; close(): Promise<unknown> } | undefined;
  readonly workerCount: number;
}

/** Puts them together, and tells of a worker that is lost for good. */
export type ComposeParts = (given: {
  readonly onWorkerLost: (cause: Error) => void;
}) => EmbeddingParts;

/** Batches under way for each worker, so that none ever waits for the disk or the network. */
const batchesInFlight = 2;

/** Images or texts that a command has under way at once. */
export function widthOf({ workerCount }: Pick<EmbeddingParts, "workerCount">): number {
  return batchesInFlight * limits.maxBatch * workerCount;
}

/** What a command does with a model that is ready. */
type Use = (parts: EmbeddingParts, model: Backend, stop: AbortSignal) => Promise<number>;

/**
 * Loads a model, does something with it, and ends the workers.
 *
 * @param model an id, plain or exact; CLIP where there is none.
 * @param use gets a signal that aborts when the user interrupts and when a worker is lost.
 * @returns the exit code: that of `use`, or why it came to none.
 */
export async function withLoadedModel(
  call: Pick<CommandCall, "interrupted" | "tell">,
  compose: ComposeParts,
  model: string | undefined,
  use: Use,
): Promise<number> {
  const lost = new AbortController();
  const stop = AbortSignal.any([call.interrupted, lost.signal]);
  const parts = compose({ onWorkerLost: (cause) => lost.abort(cause) });
  try {
    const { clip, embedder } = parts;
    const id = model ?? clip.id;
    const backend = embedder.backends.find((one) => [one.id, one.exactId].includes(id));
    if (backend === undefined) {
      const served = embedder.backends.map((one) => one.id).join(", ");
      call.tell(`imagesvc: there is no model "${id.slice(0, 80)}": there are ${served}`);
      return 2;
    }
    // Its thread starts while onnxruntime and the weights are read.
    const opened = parts.memory?.open();
    // What fails first is told of.
    opened?.catch(() => {});
    if (backend.id === clip.id) {
      await unlessAborted(clip.load({ keepsTrying: false, signal: stop }), stop);
    }
    const state = backend.state();
    if (state.kind !== "ready") {
      call.tell(`imagesvc: ${backend.id} is not ready: ${state.why}`);
      return 1;
    }
    await opened;
    return await use(parts, backend, stop);
  } catch (error) {
    if (call.interrupted.aborted) return 130;
    if (!lost.signal.aborted) throw error;
    call.tell("imagesvc: a worker was lost, so the rest was not done: start the command again");
    return 1;
  } finally {
    // Work that cannot be cut short, such as writing a model, must not keep the user waiting for long.
    await inTime(parts.batcher.close(), limits.drainTimeoutMs, "workers are busy").catch(() => {});
    await parts.memory?.close();
  }
}

async function unlessAborted<T>(work: Promise<T>, signal: AbortSignal): Promise<T> {
  const aborted = Promise.withResolvers<never>();
  const abort = () => aborted.reject(signal.reason);
  if (signal.aborted) abort();
  signal.addEventListener("abort", abort, { once: true });
  try {
    return await Promise.race([work, aborted.promise]);
  } finally {
    signal.removeEventListener("abort", abort);
  }
}
