/**
 * The queue in front of the workers: order, batches, deadlines and cancellation. A free worker takes its share of
 * what waits, up to `maxBatch` images or `maxTextBatch` texts; nothing waits for a batch to fill, but for those
 * who just had answers, where the cores are busy meanwhile. Callers take turns, and so do images and texts on a
 * worker that takes both. An image that comes to idle workers goes to the one that can infer it on all cores.
 */
import { Problem } from "../errors.ts";
import type { Demand } from "./backend.ts";
import { createBatchShares } from "./batch-shares.ts";
import { createForecast } from "./forecast.ts";
import {
  createJobQueue,
  type InputKind,
  inputKindOf,
  type Job,
  type JobTerms,
  type Settle,
  type Terms,
  type TextTerms,
  withTerms,
} from "./job.ts";
import type {
  ClipModelFile,
  EmbedOutcome,
  ModelToWrite,
  PreparedOutcome,
  TextOutcome,
  WrittenModel,
} from "./protocol.ts";
import { createJobRunner, type JobRunnerOptions } from "./run-jobs.ts";
import type { Seat } from "./seat.ts";
import { createSeats, type SeatsOptions } from "./seats.ts";

export interface BatcherOptions
  extends Omit<SeatsOptions, "onChange">,
    Pick<JobRunnerOptions, "decode" | "observer"> {
  /** Images that one inference takes at most. */
  readonly maxBatch: number;
  /** Texts that one task brings at most. */
  readonly maxTextBatch: number;
}

/** An outcome and the ms that its job waited for a worker. */
export interface Queued<Outcome> {
  readonly outcome: Outcome;
  readonly queueMs: number;
}

export interface Batcher {
  /** Embeds one image; shares an inference with whatever waits beside it. */
  embed(terms: JobTerms): Promise<Queued<EmbedOutcome>>;
  /**
   * Embeds one text; shares an inference with the texts that wait beside it. Where the text tower is not packed,
   * so that each worker would hold a copy of its own, all texts go to one of them.
   *
   * @throws Problem `model-unavailable` where that tower cannot be used.
   */
  embedText(terms: TextTerms): Promise<Queued<TextOutcome>>;
  /** Makes one image fit for the hosted model, or smaller where `maxSide` says so. */
  prepareUpstream(
    terms: JobTerms,
    maxBase64Chars: number,
    maxSide?: number,
  ): Promise<Queued<PreparedOutcome>>;
  /**
   * Sees to it that both towers of a model are there, on one worker.
   *
   * @throws Problem `shutting-down` once closed; Error if the thread dies; DeadlineError when it takes
   *   too long, and the worker is then lost.
   */
  writeModel(model: ModelToWrite): Promise<WrittenModel>;
  /**
   * Loads the model, if there is one, into every worker and runs it once in each; or into the first, where that is
   * enough, and nobody waits for the others. The session of all cores, where the model is to have one, is opened after
   * that, by the first of them, and nobody waits for it either.
   *
   * @throws Problem `shutting-down` once closed, `model-unavailable` for a model that cannot be used;
   *   Error if one of them cannot.
   */
  warmUp(model: ClipModelFile | undefined): Promise<void>;
  /** Asks every idle worker for a sign of life: one that is silent is lost, one that has died is warmed up. */
  checkWorkers(): void;
  /** Jobs that wait for a worker. */
  waiting(): number;
  /** How many workers there are that do not hang, and how many of them are at something. */
  workers(): { readonly total: number; readonly busy: number };
  /** ms until all that waits would be begun, from the rates measured so far. */
  expectedWaitMs(kind: InputKind): number;
  /** The problem `overloaded` of a demand that cannot be met in time, or not without making others late. */
  refusal(demand: Demand): Problem | undefined;
  /** Refuses new work, finishes what waits and runs, and ends the threads that do not hang. */
  close(): Promise<void>;
}

/** Makes the queue and puts the workers behind it. */
export function createBatcher(options: BatcherOptions): Batcher {
  const seats = createSeats({ ...options, onChange: () => dispatch() });
  const maxBatch = { image: options.maxBatch, text: options.maxTextBatch };
  const queue = createJobQueue();
  const drained = Promise.withResolvers<void>();
  let textWorkers = 1;
  const counts = { workers: Math.max(1, options.workers.length), textWorkers: () => textWorkers };
  const forecast = createForecast({ queue, maxBatch, ...counts });
  const onOver = () => dispatch();
  const shares = createBatchShares({ queue, maxBatch, workers: seats.size, onOver });
  const run = createJobRunner({ ...options, forecast, shares, putBack: queue.add });
  let closed = false;

  /** Most inputs of each kind that a free worker takes. */
  function mostFor(seat: Seat): Readonly<Record<InputKind, number>> {
    if (!seat.isWarm()) return { image: 0, text: 0 };
    const takers = seats.here().slice(0, textWorkers);
    const text = takers.includes(seat) ? takers.length : 0;
    return shares.most({ text, areBusy: !closed && !seats.areIdle() });
  }

  function dispatch(isAlone = false): void {
    for (const seat of seats.free()) {
      const jobs = queue.take(mostFor(seat));
      const onAll = isAlone && seat.isWide();
      const onLost = () => refuse(jobs);
      if (jobs.length > 0) seat.occupy((worker) => run(worker, jobs, onAll), onLost);
    }
    if (seats.areLost()) refuse(queue.clear());
    if (closed && queue.size() === 0 && seats.areIdle()) drained.resolve();
  }

  async function enqueue<Outcome>(terms: Terms, toJob: ToJob<Outcome>): Promise<Queued<Outcome>> {
    if (closed) throw stopping();
    const enqueuedAt = performance.now();
    let startedAt = enqueuedAt;
    let job: Job | undefined;
    const start = (settle: Settle<Outcome>, isOver: () => boolean) => {
      const started = () => {
        startedAt = performance.now();
      };
      job = toJob({ settle, started, isOver });
      // Whoever waited for a worker has company: then each worker on its share of the cores gets more done.
      const isAlone = queue.size() === 0 && seats.areIdle();
      if (isAlone) seats.freeCores();
      queue.add(job);
      shares.came(inputKindOf(job));
      dispatch(isAlone);
    };
    const outcome = await withTerms(terms, tooSlow, start, () => {
      if (job !== undefined && queue.remove(job)) dispatch();
    });
    return { outcome, queueMs: startedAt - enqueuedAt };
  }

  return {
    embed: (terms) => enqueue(terms, embedJob(terms)),
    embedText: (terms) => {
      textWorkers = terms.model.packedTextTower === undefined ? 1 : counts.workers;
      return enqueue(terms, embedTextJob(terms));
    },
    prepareUpstream: (terms, maxBase64Chars, maxSide) =>
      enqueue(terms, prepareJob(terms, maxBase64Chars, maxSide)),
    writeModel: async (model) => {
      if (closed) throw stopping();
      return await seats.writeModel(model);
    },
    warmUp: async (model) => {
      if (closed) throw stopping();
      return await seats.warmUp(model);
    },
    checkWorkers: seats.check,
    waiting: () => queue.size(),
    workers: seats.count,
    expectedWaitMs: forecast.waitMs,
    refusal: forecast.refusal,
    close: async () => {
      closed = true;
      dispatch();
      await drained.promise;
      await seats.close();
    },
  };
}

/** Makes the job of somebody who waits for its outcome. */
type ToJob<Outcome> = (ends: JobEnds<Outcome>) => Job;

/** Where a job begins and ends for whoever asked for it. */
interface JobEnds<Outcome> extends Pick<Job, "started" | "isOver"> {
  readonly settle: Settle<Outcome>;
}

function embedJob(terms: JobTerms): ToJob<EmbedOutcome> {
  const { image, deadline, signal, caller = signal, also } = terms;
  return (ends) => ({ kind: "embed", caller, deadline, image, also, ...ends });
}

function embedTextJob({ text, model, deadline, signal: caller }: TextTerms): ToJob<TextOutcome> {
  const rest = { caller, deadline, text, model };
  return (ends) => ({ kind: "embed-text", ...rest, ...ends });
}

function prepareJob(
  { image, deadline, signal, caller = signal, also }: JobTerms,
  maxBase64Chars: number,
  maxSide: number | undefined,
): ToJob<PreparedOutcome> {
  const rest = { caller, deadline, image, maxBase64Chars, maxSide, also };
  return (ends) => ({ kind: "prepare", ...rest, ...ends });
}

/** No worker is left for them, and another instance can take them. */
function refuse(jobs: readonly Job[]): void {
  for (const job of jobs) job.settle(stopping());
}

function stopping(): Problem {
  return new Problem("shutting-down", "The service is stopping: send it again.");
}

function tooSlow(): Problem {
  return new Problem(
    "inference-timeout",
    "The vector was not there before the request's deadline: try again when the service is less busy.",
  );
}
