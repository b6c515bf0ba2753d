/** A job that waits for a worker, and whatever may end its waiting: an answer, its deadline, its caller. */
import type {
  ClipTextModelFile,
  EmbedOutcome,
  ImageBytes,
  PreparedOutcome,
  TextOutcome,
} from "./protocol.ts";

/** How long a job may take. */
export interface Terms {
  /** Drops a waiting job; the result of a running one is thrown away. */
  readonly signal: AbortSignal;
  /** `performance.now()` after which the job is given up. */
  readonly deadline: number;
}

/** What a caller asks of the queue for an image. */
export interface JobTerms extends Terms {
  /** Given away: `memory` bytes come back in the outcome. */
  readonly image: ImageBytes;
}

/** What a caller asks of the queue for a text. */
export interface TextTerms extends Terms {
  readonly text: string;
  readonly model: ClipTextModelFile;
}

/** One end of a job: called once at most, later calls do nothing. */
export type Settle<Outcome> = (result: Outcome | Error) => void;

/** A job in the queue or in a worker. */
export type Job = {
  /** Called when a worker takes the job. */
  readonly started: () => void;
} & (
  | {
      readonly kind: "embed";
      readonly image: ImageBytes;
      readonly settle: Settle<EmbedOutcome>;
    }
  | {
      readonly kind: "embed-text";
      readonly text: string;
      readonly model: ClipTextModelFile;
      readonly settle: Settle<TextOutcome>;
    }
  | {
      readonly kind: "prepare";
      readonly image: ImageBytes;
      readonly maxBase64Chars: number;
      readonly settle: Settle<PreparedOutcome>;
    }
);

/**
 * A promise that also ends when the deadline passes or the caller leaves.
 *
 * @param onEnd called once, however it ends: the place to take the job out of a queue.
 * @throws the error of `expired` at the deadline, and the signal's reason when the caller leaves.
 */
export function withTerms<Outcome>(
  { signal, deadline }: Terms,
  expired: () => Error,
  start: (settle: Settle<Outcome>) => void,
  onEnd: () => void,
): Promise<Outcome> {
  const { promise, resolve, reject } = Promise.withResolvers<Outcome>();
  let ended = false;
  const settle: Settle<Outcome> = (result) => {
    if (ended) return;
    ended = true;
    clearTimeout(timer);
    signal.removeEventListener("abort", leave);
    onEnd();
    if (result instanceof Error) reject(result);
    else resolve(result);
  };
  const leave = () => settle(reasonOf(signal));
  const timer = setTimeout(() => settle(expired()), Math.max(0, deadline - performance.now()));
  signal.addEventListener("abort", leave, { once: true });
  if (signal.aborted) leave();
  else start(settle);
  return promise;
}

function reasonOf(signal: AbortSignal): Error {
  const reason: unknown = signal.reason;
  return reason instanceof Error ? reason : new DOMException("the caller left", "AbortError");
}
