/**
 * The queue in front of the workers: order, batches, deadlines and cancellation. A free worker takes
 * what waits, up to `maxBatch` images or texts; nothing waits for a batch to fill. Callers take turns, and so
 * do images and texts on the worker that takes both.
 */
import { Problem } from "../errors.ts";
import type { Demand } from "./backend.ts";
import { inTime } from "./deadline.ts";
import { createForecast } from "./forecast.ts";
import {
  createJobQueue,
  type InputKind,
  type Job,
  type JobTerms,
  type Settle,
  type Terms,
  type TextTerms,
  withTerms,
} from "./job.ts";
import type { Worker } from "./pool.ts";
import type {
  ClipModelFile,
  DecodeOptions,
  EmbedOutcome,
  ModelToWrite,
  PreparedOutcome,
  TextOutcome,
  WrittenModel,
} from "./protocol.ts";
import { createSeat, type SeatOptions } from "./seat.ts";

export interface BatcherOptions extends Omit<SeatOptions, "worker" | "onChange"> {
  readonly workers: readonly Worker[];
  readonly decode: DecodeOptions;
  /** Images or texts that one inference takes at most. */
  readonly maxBatch: number;
  /** ms; writing a model that takes longer hangs. */
  readonly writeModelTimeoutMs: number;
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
   * Embeds one text; shares an inference with the texts that wait beside it. All texts go to one worker,
   * so that there is one copy of the text tower.
   *
   * @throws Problem `model-unavailable` where that tower cannot be used.
   */
  embedText(terms: TextTerms): Promise<Queued<TextOutcome>>;
  /** Makes one image fit for the hosted model. */
  prepareUpstream(terms: JobTerms, maxBase64Chars: number): Promise<Queued<PreparedOutcome>>;
  /**
   * Sees to it that both towers of a model are there, on one worker.
   *
   * @throws Problem `shutting-down` once closed; Error if the thread dies; DeadlineError when it takes
   *   too long, and the worker is then lost.
   */
  writeModel(model: ModelToWrite): Promise<WrittenModel>;
  /**
   * Loads the model, if there is one, into every worker and runs it once in each.
   *
   * @throws Problem `shutting-down` once closed, `model-unavailable` for a model that cannot be used;
   *   Error if one of them cannot.
   */
  warmUp(model: ClipModelFile | undefined): Promise<void>;
  /** Asks every idle worker for a sign of life: one that is silent is lost, one that has died is warmed up. */
  checkWorkers(): void;
  /** Jobs that wait for a worker. */
  waiting(): number;
  /** ms until all that waits would be begun, from the rates measured so far. */
  expectedWaitMs(kind: InputKind): number;
  /** The problem `overloaded` of a demand that cannot be met in time, or not without making others late. */
  refusal(demand: Demand): Problem | undefined;
  /** Refuses new work, finishes what waits and runs, and ends the threads that do not hang. */
  close(): Promise<void>;
}

/** How much longer than the inference a task takes at most, its way to the thread and back included: more is loading. */
const maxDetour = 2;

/** Makes the queue and puts the workers behind it. */
export function createBatcher(options: BatcherOptions): Batcher {
  const { workers, decode, maxBatch } = options;
  const seats = workers.map((worker) => createSeat({ ...options, worker, onChange: dispatch }));
  const queue = createJobQueue(maxBatch);
  const drained = Promise.withResolvers<void>();
  const forecast = createForecast({ queue, workers: Math.max(1, workers.length) });
  let closed = false;

  function dispatch(): void {
    const textSeat = seats.find((seat) => !seat.isLost());
    for (const seat of seats.filter((one) => one.isFree())) {
      const jobs = queue.take(seat.isWarm(), seat === textSeat);
      const onLost = () => refuse(jobs);
      if (jobs.length > 0) seat.occupy((worker) => runJobs(worker, jobs), onLost);
    }
    if (seats.length > 0 && seats.every((seat) => seat.isLost())) refuse(queue.clear());
    const isIdle = queue.size() === 0 && seats.every((seat) => seat.isFree() || seat.isLost());
    if (closed && isIdle) drained.resolve();
  }

  async function runJobs(worker: Worker, jobs: readonly Job[]): Promise<void> {
    for (const job of jobs) job.started();
    const end = forecast.begin(jobs[0]?.kind === "embed-text" ? "text" : "image", jobs.length);
    let tookMs: number | undefined;
    try {
      tookMs = await runTask(worker, jobs, decode, queue.add);
    } catch (error) {
      for (const job of jobs) job.settle(asError(error));
      throw error;
    } finally {
      end(tookMs);
    }
  }

  async function enqueue<Outcome>(terms: Terms, toJob: ToJob<Outcome>): Promise<Queued<Outcome>> {
    if (closed) throw stopping();
    const enqueuedAt = performance.now();
    let startedAt = enqueuedAt;
    let job: Job | undefined;
    const start = (settle: Settle<Outcome>) => {
      job = toJob(settle, () => {
        startedAt = performance.now();
      });
      queue.add(job);
      dispatch();
    };
    const leaveQueue = () => {
      if (job !== undefined && queue.remove(job)) dispatch();
    };
    const outcome = await withTerms(terms, tooSlow, start, leaveQueue);
    return { outcome, queueMs: startedAt - enqueuedAt };
  }

  return {
    embed: (terms) => enqueue(terms, embedJob(terms)),
    embedText: (terms) => enqueue(terms, embedTextJob(terms)),
    prepareUpstream: (terms, maxBase64Chars) => enqueue(terms, prepareJob(terms, maxBase64Chars)),
    writeModel: async (model) => {
      if (closed) throw stopping();
      const [seat] = seats;
      if (seat === undefined) throw new Error("there is no worker");
      return await seat.errand((worker) => {
        const written = worker.run({ kind: "write-model", model });
        return inTime(written, options.writeModelTimeoutMs, "writing the model took too long");
      });
    },
    warmUp: async (model) => {
      if (closed) throw stopping();
      await Promise.all(seats.map((seat) => seat.warmUp(model)));
    },
    checkWorkers: () => {
      for (const seat of seats) seat.check();
    },
    waiting: () => queue.size(),
    expectedWaitMs: forecast.waitMs,
    refusal: forecast.refusal,
    close: async () => {
      closed = true;
      dispatch();
      await drained.promise;
      await Promise.all(seats.map((seat) => seat.close()));
    },
  };
}

/** Makes the job of somebody who waits for its outcome. */
type ToJob<Outcome> = (settle: Settle<Outcome>, started: () => void) => Job;

function embedJob(terms: JobTerms): ToJob<EmbedOutcome> {
  const { image, deadline, signal, caller = signal, also } = terms;
  return (settle, started) => ({ kind: "embed", caller, deadline, image, also, settle, started });
}

function embedTextJob({ text, model, deadline, signal: caller }: TextTerms): ToJob<TextOutcome> {
  const rest = { caller, deadline, text, model };
  return (settle, started) => ({ kind: "embed-text", ...rest, settle, started });
}

function prepareJob(
  { image, deadline, signal, caller = signal, also }: JobTerms,
  maxBase64Chars: number,
): ToJob<PreparedOutcome> {
  const rest = { caller, deadline, image, maxBase64Chars, also };
  return (settle, started) => ({ kind: "prepare", ...rest, settle, started });
}

/**
 * Runs jobs that share one task, and settles each with its own outcome.
 *
 * @param putBack takes a job that the task had no time to begin.
 * @returns ms that each took; undefined where nothing was inferred.
 */
async function runTask(
  worker: Worker,
  jobs: readonly Job[],
  decode: DecodeOptions,
  putBack: (job: Job) => void,
): Promise<number | undefined> {
  const [first] = jobs;
  const startedAt = performance.now();
  if (first?.kind === "embed-text") {
    const same = jobs.filter((job) => job.kind === "embed-text");
    const texts = same.map((job) => job.text);
    const answer = await worker.run({ kind: "embed-texts", model: first.model, texts });
    if ("problem" in answer) {
      const { code, detail, cause } = answer.problem;
      for (const job of same) job.settle(new Problem(code, detail, { cause }));
      return undefined;
    }
    settleEach(same, answer);
    // By the clock here, as images; but the first texts also wait until their tower is loaded.
    const inferMs = answer[0]?.inferMs ?? 0;
    const tookMs = Math.min(performance.now() - startedAt, maxDetour * inferMs);
    return Math.max(inferMs, tookMs) / texts.length;
  }
  const transfer = jobs.flatMap((job) =>
    "image" in job && job.image.kind === "memory" ? [job.image.bytes.buffer] : [],
  );
  if (first?.kind === "prepare") {
    const { image, maxBase64Chars, also: { isReported = false } = {} } = first;
    const task = { kind: "prepare-upstream", image, decode, maxBase64Chars } as const;
    first.settle(await worker.run({ ...task, ...(isReported && { isReported }) }, transfer));
  } else {
    const embeds = jobs.filter((job) => job.kind === "embed");
    const images = embeds.map((job) => job.image);
    const also = embeds.map((job) => job.also);
    const isPlain = also.every((one) => one === undefined);
    const task = { kind: "embed-images", images, decode, ...(!isPlain && { also }) } as const;
    const outcomes = await worker.run(task, transfer);
    settleEach(
      embeds.map((job, index) => {
        const { notStarted, bytes } = outcomes[index] ?? {};
        const image = bytes === undefined ? job.image : ({ kind: "memory", bytes } as const);
        return notStarted ? { settle: () => putBack({ ...job, image }) } : job;
      }),
      outcomes,
    );
  }
  return (performance.now() - startedAt) / jobs.length;
}

function settleEach<Outcome>(
  jobs: readonly { readonly settle: Settle<Outcome> }[],
  outcomes: readonly Outcome[],
): void {
  jobs.forEach((job, index) => {
    job.settle(outcomes[index] ?? new Error("a worker answered too few outcomes"));
  });
}

/** No worker is left for them, and another instance can take them. */
function refuse(jobs: readonly Job[]): void {
  for (const job of jobs) job.settle(stopping());
}

function asError(error: unknown): Error {
  return error instanceof Error ? error : new Error(String(error));
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
