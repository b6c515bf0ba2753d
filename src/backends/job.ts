/**
 * A job that waits for a worker: its place among the others, and whatever may end its waiting: an answer,
 * its deadline, its caller.
 */
import type {
  AlsoWanted,
  ClipTextModelFile,
  EmbedOutcome,
  ImageBytes,
  PreparedOutcome,
  TextOutcome,
} from "./protocol.ts";

/** How long a job may take. */
export interface Terms {
  /** Drops a waiting job; the result of a running one is thrown away. Jobs that share it are one caller's. */
  readonly signal: AbortSignal;
  /** `performance.now()` after which the job is given up. */
  readonly deadline: number;
}

/** What a caller asks of the queue for an image. */
export interface JobTerms extends Terms {
  /** Given away: `memory` bytes come back in the outcome. */
  readonly image: ImageBytes;
  /** Whose job it is; whoever shares the signal unless told. */
  readonly caller?: object;
  /** What else the decoding is to give. */
  readonly also?: AlsoWanted | undefined;
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
  /** Whose it is: the same object for all of one request's jobs. */
  readonly caller: object;
  /** `performance.now()` after which it is given up. */
  readonly deadline: number;
  /** Called when a worker takes the job. */
  readonly started: () => void;
  /** Whether it has ended, by whatever: then nobody waits for it. */
  readonly isOver: () => boolean;
} & (
  | {
      readonly kind: "embed";
      readonly image: ImageBytes;
      readonly also?: AlsoWanted | undefined;
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
      readonly maxSide: number | undefined;
      readonly also?: AlsoWanted | undefined;
      readonly settle: Settle<PreparedOutcome>;
    }
);

/** What a request brings for a model. */
export type InputKind = "image" | "text";

/** What a job's request brought: an image that is only prepared is one all the same. */
export function inputKindOf({ kind }: Pick<Job, "kind">): InputKind {
  return kind === "embed-text" ? "text" : "image";
}

/** How the line would stand; places are counted from 1. */
export interface Preview {
  /** Place of the last of the new jobs. */
  readonly lastPlace: number;
  /** Those who wait already and would be passed by a new job, with the places that they would then have. */
  readonly passed: readonly { readonly place: number; readonly deadline: number }[];
}

/** Jobs that wait for a worker: callers take turns, and each caller's own jobs stay in order. */
export interface JobQueue {
  /** How many wait, of one kind or of both. */
  size(kind?: InputKind): number;
  /** What it would mean if a caller who has no jobs here added so many. */
  preview(kind: InputKind, inputs: number): Preview;
  add(job: Job): void;
  /**
   * Takes the first job that can be done, and with something to embed the next ones of its kind. Where a
   * worker takes both, images and texts take turns.
   *
   * @param most inputs of each kind that are taken; where there are 0 of images, one is still prepared for others.
   */
  take(most: Readonly<Record<InputKind, number>>): readonly Job[];
  /** @returns whether the job was still waiting. */
  remove(job: Job): boolean;
  /** Leaves nobody waiting. */
  clear(): readonly Job[];
}

/** Makes an empty queue. */
export function createJobQueue(): JobQueue {
  const lines = { image: createLine(), text: createLine() };
  const lineOf = (job: Job) => lines[inputKindOf(job)];
  /** What a worker that takes both takes first. */
  let first: InputKind = "image";

  return {
    size: (kind) => (kind ? lines[kind].size() : lines.image.size() + lines.text.size()),
    preview: (kind, inputs) => lines[kind].preview(inputs),
    add: (job) => lineOf(job).add(job),
    take: (most) => {
      const takeFrom = (kind: InputKind) => lines[kind].take(most[kind]);
      if (most.text === 0) return takeFrom("image");
      const second = first === "image" ? "text" : "image";
      const jobs = takeFrom(first);
      if (jobs.length === 0) return takeFrom(second);
      first = second;
      return jobs;
    },
    remove: (job) => lineOf(job).remove(job),
    clear: () => [...lines.image.clear(), ...lines.text.clear()],
  };
}

/**
 * Makes an empty line, fair by start tags (Goyal, Vin, Cheng 1996, "Start-time fair queuing"): a caller's
 * jobs have successive turns, the first of them the turn that the workers are at.
 */
function createLine() {
  const waiting: { readonly job: Job; readonly turn: number }[] = [];
  const lastTurns = new WeakMap<object, number>();
  let turnNow = 0;

  return {
    size: () => waiting.length,
    preview: (inputs: number): Preview => {
      const lastTurn = turnNow + inputs - 1;
      const passing = (turn: number) => Math.min(turn - turnNow, inputs);
      const passed = waiting.flatMap(({ job: { deadline }, turn }, index) =>
        turn > turnNow ? [{ place: index + 1 + passing(turn), deadline }] : [],
      );
      const before = waiting.filter(({ turn }) => turn <= lastTurn).length;
      return { lastPlace: before + inputs, passed };
    },
    add: (job: Job): void => {
      const last = lastTurns.get(job.caller) ?? -1;
      const turn = Math.max(turnNow, last + 1);
      lastTurns.set(job.caller, turn);
      const later = waiting.findIndex((other) => other.turn > turn);
      waiting.splice(later === -1 ? waiting.length : later, 0, { job, turn });
    },
    take: (most: number): readonly Job[] => {
      const first = waiting.find(({ job }) => most > 0 || job.kind === "prepare");
      if (first === undefined) return [];
      const { kind } = first.job;
      const same = waiting.filter(({ job }) => job.kind === kind);
      const taken = same.slice(0, kind === "prepare" ? 1 : most);
      for (const one of taken) {
        waiting.splice(waiting.indexOf(one), 1);
        turnNow = Math.max(turnNow, one.turn);
      }
      return taken.map(({ job }) => job);
    },
    remove: (job: Job): boolean => {
      // A job that was put back is another object, with the same end.
      const index = waiting.findIndex((one) => one.job.settle === job.settle);
      if (index !== -1) waiting.splice(index, 1);
      return index !== -1;
    },
    clear: () => waiting.splice(0).map(({ job }) => job),
  };
}

/**
 * A promise that also ends when the deadline passes or the caller leaves.
 *
 * @param onEnd called once, however it ends: the place to take the job out of a queue.
 * @throws the error of `expired` at the deadline, and the signal's reason when the caller leaves.
 */
export function withTerms<Outcome>(
  { signal, deadline }: Terms,
  expired: () => Error,
  start: (settle: Settle<Outcome>, isOver: () => boolean) => void,
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
  else start(settle, () => ended);
  return promise;
}

function reasonOf(signal: AbortSignal): Error {
  const reason: unknown = signal.reason;
  return reason instanceof Error ? reason : new DOMException("the caller left", "AbortError");
}
