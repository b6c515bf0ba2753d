/**
 * How much of what waits a free worker takes. What one takes beyond its share is missing to the next, who then begins
 * with the first that comes, alone: an image costs a third more then, a text three times as much. So workers
 * that are kept busy would drift apart, one with large batches, the others with single inputs, and stay so.
 */
import type { InputKind, JobQueue } from "./job.ts";
import { createReturningCallers } from "./returning-callers.ts";

export interface BatchSharesOptions {
  readonly queue: Pick<JobQueue, "size">;
  /** Most inputs of each kind that are taken together, texts as many as images or more. */
  readonly maxBatch: Readonly<Record<InputKind, number>>;
  /** How many workers there are, each of which takes images. */
  readonly workers: () => number;
  /** Called when what was left for those that come is to be taken after all. */
  readonly onOver: () => void;
}

/** Who takes what, as it is now. */
export interface Takers {
  /** How many workers take texts, if the one that is free does; 0 if it does not. */
  readonly text: number;
  /** Whether another worker is at something, so that the cores are busy while this one waits. */
  readonly areBusy: boolean;
}

export interface BatchShares {
  /** To be called when an input waits. */
  came(kind: InputKind): void;
  /** To be called when a worker takes so many inputs of a kind. @returns to be called when they are answered. */
  began(kind: InputKind, inputs: number): () => void;
  /** Most of each kind that a free worker takes now; 0 where they are not its own, or left for those that come. */
  most(takers: Takers): Readonly<Record<InputKind, number>>;
}

/** Makes the shares of one queue's workers. */
export function createBatchShares(options: BatchSharesOptions): BatchShares {
  const { queue, maxBatch, workers, onOver } = options;
  const running = { image: 0, text: 0 };
  const returning = {
    image: createReturningCallers("image", onOver),
    text: createReturningCallers("text", onOver),
  };

  /** Inputs of all that wait or are answered just now, for each worker. */
  const shareOf = (kind: InputKind) =>
    Math.min((queue.size(kind) + running[kind]) / Math.max(1, workers()), maxBatch[kind]);

  const isLeft = (kind: InputKind, areBusy: boolean) => {
    const waiting = queue.size(kind);
    return areBusy && waiting < maxBatch[kind] && returning[kind].mayBeMore(waiting);
  };

  return {
    came: (kind) => returning[kind].came(),
    began: (kind, inputs) => {
      running[kind] += inputs;
      return () => {
        const share = shareOf(kind);
        running[kind] -= inputs;
        returning[kind].answered(inputs, share);
      };
    },
    most: ({ text, areBusy }) => {
      // A batch of texts that is no longer than one and a half of images takes little time.
      const texts = Math.max(1.5 * maxBatch.image, Math.ceil(queue.size("text") / text));
      return {
        image: isLeft("image", areBusy) ? 0 : Math.ceil(shareOf("image")),
        text: text === 0 || isLeft("text", areBusy) ? 0 : Math.min(texts, maxBatch.text),
      };
    },
  };
}
