/**
 * The queue in front of the workers: order, batches, deadlines and cancellation. A free worker takes its share of
 * what waits, up to `maxBatch` images or `maxTextBatch` texts; nothing waits for a batch to fill, but for those
 * who just had answers, where the cores are busy meanwhile. Callers take turns, and so do images and texts on a
 * worker that takes both. An image that comes to idle workers goes to the one that can infer it on all cores.
 */
import { Problem } from "../errors.ts";
import type { Observer } from "../observer.ts";
import type { Demand } from "./backend.ts";
import { createBatchShares } from "./batch-shares.ts";
import { inTime } from "./deadline.ts";
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
import { createSeat, type Seat, type SeatOptions } from "./seat.ts";

export interface BatcherOptions extends Omit<SeatOptions, "worker" | "cores" | "onChange"> {
  readonly workers: readonly Worker[];
  readonly decode: DecodeOptions;
  /** Images that one inference takes at most. */
  readonly maxBatch: number;
  /** Texts that one task brings at most. */
  readonly maxTextBatch: number;
  /** ms; writing a model that takes longer hangs. */
  readonly writeModelTimeoutMs: number;
  /** Takes note of every task. */
  readonly observer?: Pick<Observer, "batchRun"> | undefined;
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
   * Loads the model, if there is one, into every worker and runs it once in each. The session of all cores, where
   * the model is to have one, is opened after that, by the first of them, and nobody waits for it.
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

/** How much longer than the inference a task takes at most, its way to the thread and back included: more is loading. */
const maxDetour = 2;

/** What a task with such jobs is called by whoever counts them. */
const batchKinds = { embed: "image", "embed-text": "text", prepare: "prepare" } as const;

/** Makes the queue and puts the workers behind it. */
export function createBatcher(options: BatcherOptions): Batcher {
  const { workers, decode } = options;
  const seats = createSeats(options, dispatch);
  const maxBatch = { image: options.maxBatch, text: options.maxTextBatch };
  const queue = createJobQueue();
  const drained = Promise.withResolvers<void>();
  let textWorkers = 1;
  const counts = { workers: Math.max(1, workers.length), textWorkers: () => textWorkers };
  const forecast = createForecast({ queue, maxBatch, ...counts });
  const here = () => seats.filter((seat) => !seat.isLost());
  const shares = createBatchShares({
    queue,
    maxBatch,
    workers: () => here().length,
    onOver: () => dispatch(),
  });
  let closed = false;

  /** Most inputs of each kind that a free worker takes. */
  function mostFor(seat: Seat): Readonly<Record<InputKind, number>> {
    if (!seat.isWarm()) return { image: 0, text: 0 };
    const takers = here().slice(0, textWorkers);
    const text = takers.includes(seat) ? takers.length : 0;
    return shares.most({ text, areBusy: !closed && !areIdle(seats) });
  }

  function dispatch(isAlone = false): void {
    for (const seat of seats.filter((one) => one.isFree())) {
      const jobs = queue.take(mostFor(seat));
      const terms = { decode, isAlone: isAlone && seat.isWide() };
      const onLost = () => refuse(jobs);
      if (jobs.length > 0) seat.occupy((worker) => runJobs(worker, jobs, terms), onLost);
    }
    if (seats.length > 0 && seats.every((seat) => seat.isLost())) refuse(queue.clear());
    if (closed && queue.size() === 0 && areIdle(seats)) drained.resolve();
  }

  async function runJobs(worker: Worker, jobs: readonly Job[], terms: TaskTerms): Promise<void> {
    for (const job of jobs) job.started();
    const { kind: first } = jobs[0] ?? { kind: "embed" };
    const kind = inputKindOf({ kind: first });
    const end = forecast.begin(kind, jobs.length);
    const answered = first === "prepare" ? undefined : shares.began(kind, jobs.length);
    let tookMs: number | undefined;
    try {
      tookMs = await runTask(worker, jobs, terms, queue.add);
    } catch (error) {
      for (const job of jobs) job.settle(asError(error));
      throw error;
    } finally {
      end(tookMs);
      answered?.();
      options.observer?.batchRun(batchKinds[first], jobs.length);
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
      // Whoever waited for a worker has company: then each worker on its share of the cores gets more done.
      const isAlone = queue.size() === 0 && areIdle(seats);
      queue.add(job);
      shares.came(inputKindOf(job));
      dispatch(isAlone);
    };
    const leaveQueue = () => {
      if (job !== undefined && queue.remove(job)) dispatch();
    };
    const outcome = await withTerms(terms, tooSlow, start, leaveQueue);
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
      return await writeModel(seats, model, options.writeModelTimeoutMs);
    },
    warmUp: async (model) => {
      if (closed) throw stopping();
      await Promise.all(seats.map((seat) => seat.warmUp(model)));
      if (model?.wideThreads !== undefined) seats[0]?.widen();
    },
    checkWorkers: () => {
      for (const seat of seats) seat.check();
    },
    waiting: () => queue.size(),
    workers: () => ({
      total: here().length,
      busy: here().filter((seat) => !seat.isFree()).length,
    }),
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

/** Seats the workers, who share the cores. */
function createSeats(options: BatcherOptions, onChange: () => void): readonly Seat[] {
  const cores = new Int32Array(new SharedArrayBuffer(Int32Array.BYTES_PER_ELEMENT));
  return options.workers.map((worker) => createSeat({ ...options, worker, cores, onChange }));
}

/** Whether no worker is at anything that will end. */
function areIdle(seats: readonly Seat[]): boolean {
  return seats.every((seat) => seat.isFree() || seat.isLost());
}

async function writeModel(
  [seat, ...others]: readonly Seat[],
  model: ModelToWrite,
  timeoutMs: number,
): Promise<WrittenModel> {
  // Their threads start meanwhile: then nobody waits for that when the model is loaded.
  for (const other of others) other.check();
  if (seat === undefined) throw new Error("there is no worker");
  return await seat.errand((worker) => {
    const written = worker.run({ kind: "write-model", model });
    return inTime(written, timeoutMs, "writing the model took too long");
  });
}

/** What a task with images is told beside them. */
interface TaskTerms {
  readonly decode: DecodeOptions;
  readonly isAlone: boolean;
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
  maxSide: number | undefined,
): ToJob<PreparedOutcome> {
  const rest = { caller, deadline, image, maxBase64Chars, maxSide, also };
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
  { decode, isAlone }: TaskTerms,
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
    const { image, maxBase64Chars, maxSide, also: { isReported = false } = {} } = first;
    const task = { kind: "prepare-upstream", image, decode, maxBase64Chars, maxSide } as const;
    first.settle(await worker.run({ ...task, ...(isReported && { isReported }) }, transfer));
  } else {
    const embeds = jobs.filter((job) => job.kind === "embed");
    const images = embeds.map((job) => job.image);
    const also = embeds.map((job) => job.also);
    const isPlain = also.every((one) => one === undefined);
    const plain = { kind: "embed-images", images, decode, isAlone } as const;
    const task = isPlain ? plain : { ...plain, also };
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
