/**
 * The queue in front of the workers: order, batches, deadlines and cancellation. A free worker takes
 * what waits, up to `maxBatch` images; nothing waits for a batch to fill.
 */
import { Problem } from "../errors.ts";
import { type Job, type JobTerms, type Settle, withTerms } from "./job.ts";
import type { Worker } from "./pool.ts";
import type {
  ClipModelFile,
  DecodeOptions,
  EmbedOutcome,
  PreparedOutcome,
  PublishedWeights,
  WrittenModel,
} from "./protocol.ts";
import { createSeat, type SeatOptions } from "./seat.ts";

export interface BatcherOptions
  extends Pick<SeatOptions, "hangTimeoutMs" | "warmUpTimeoutMs" | "onWorkerLost"> {
  readonly workers: readonly Worker[];
  readonly decode: DecodeOptions;
  /** Images that one inference takes at most. */
  readonly maxBatch: number;
}

/** An outcome and the ms that its job waited for a worker. */
export interface Queued<Outcome> {
  readonly outcome: Outcome;
  readonly queueMs: number;
}

export interface Batcher {
  /** Embeds one image; shares an inference with whatever waits beside it. */
  embed(terms: JobTerms): Promise<Queued<EmbedOutcome>>;
  /** Makes one image fit for the hosted model. */
  prepareUpstream(terms: JobTerms, maxBase64Chars: number): Promise<Queued<PreparedOutcome>>;
  /**
   * Writes the model's graph into a folder, on one worker; without weights the synthetic one.
   *
   * @throws Problem `shutting-down` once closed; Error if the thread dies.
   */
  writeModel(directory: string, weights?: PublishedWeights): Promise<WrittenModel>;
  /**
   * Loads the model, if there is one, into every worker and runs it once in each.
   *
   * @throws Problem `shutting-down` once closed; Error if one of them cannot.
   */
  warmUp(model: ClipModelFile | undefined): Promise<void>;
  /** Jobs that wait for a worker. */
  waiting(): number;
  /** ms until a job that arrives now would start, from the rate measured so far. */
  expectedWaitMs(): number;
  /** Refuses new work, finishes what waits and runs, and ends the threads that do not hang. */
  close(): Promise<void>;
}

/** Weight of the newest measurement in the running mean of ms an image. */
const rateWeight = 0.2;

/** Makes the queue and puts the workers behind it. */
export function createBatcher(options: BatcherOptions): Batcher {
  const { workers, decode, maxBatch } = options;
  const seats = workers.map((worker) => createSeat({ ...options, worker, onChange: dispatch }));
  const queue: Job[] = [];
  const drained = Promise.withResolvers<void>();
  let msPerImage = 0;
  let closed = false;

  function dispatch(): void {
    for (const seat of seats.filter((one) => one.isFree())) {
      const jobs = takeJobs(queue, seat.isWarm(), maxBatch);
      if (jobs.length > 0) seat.occupy((worker) => runJobs(worker, jobs));
    }
    const isIdle = seats.every((seat) => seat.isFree() || seat.isLost());
    if (closed && isIdle && queue.length === 0) drained.resolve();
  }

  async function runJobs(worker: Worker, jobs: readonly Job[]): Promise<void> {
    const startedAt = performance.now();
    for (const job of jobs) job.started();
    try {
      await runTask(worker, jobs, decode);
    } catch (error) {
      for (const job of jobs) job.settle(asError(error));
      throw error;
    }
    const tookMs = (performance.now() - startedAt) / jobs.length;
    msPerImage = msPerImage === 0 ? tookMs : msPerImage + rateWeight * (tookMs - msPerImage);
  }

  async function enqueue<Outcome>(
    terms: JobTerms,
    toJob: (settle: Settle<Outcome>, started: () => void) => Job,
  ): Promise<Queued<Outcome>> {
    if (closed) throw stopping();
    const enqueuedAt = performance.now();
    let startedAt = enqueuedAt;
    let job: Job | undefined;
    const start = (settle: Settle<Outcome>) => {
      job = toJob(settle, () => {
        startedAt = performance.now();
      });
      queue.push(job);
      dispatch();
    };
    const leaveQueue = () => {
      if (job === undefined || !queue.includes(job)) return;
      queue.splice(queue.indexOf(job), 1);
      dispatch();
    };
    const outcome = await withTerms(terms, tooSlow, start, leaveQueue);
    return { outcome, queueMs: startedAt - enqueuedAt };
  }

  return {
    embed: (terms) =>
      enqueue(terms, (settle, started) => {
        return { kind: "embed", image: terms.image, settle, started };
      }),
    prepareUpstream: (terms, maxBase64Chars) =>
      enqueue(terms, (settle, started) => {
        return { kind: "prepare", image: terms.image, maxBase64Chars, settle, started };
      }),
    writeModel: async (directory, weights) => {
      if (closed) throw stopping();
      const [seat] = seats;
      if (seat === undefined) throw new Error("there is no worker");
      return await seat.errand((worker) => worker.run({ kind: "write-model", weights, directory }));
    },
    warmUp: async (model) => {
      if (closed) throw stopping();
      await Promise.all(seats.map((seat) => seat.warmUp(model)));
    },
    waiting: () => queue.length,
    expectedWaitMs: () => (queue.length * msPerImage) / Math.max(1, seats.length),
    close: async () => {
      closed = true;
      dispatch();
      await drained.promise;
      await Promise.all(seats.map((seat) => seat.close()));
    },
  };
}

/** Takes the oldest job that can be done, and with an image to embed the others that wait. */
function takeJobs(queue: Job[], warm: boolean, maxBatch: number): Job[] {
  const oldest = queue.find((job) => job.kind === "prepare" || warm);
  if (oldest === undefined) return [];
  const taken =
    oldest.kind === "prepare"
      ? [oldest]
      : queue.filter((job) => job.kind === "embed").slice(0, maxBatch);
  for (const job of taken) queue.splice(queue.indexOf(job), 1);
  return taken;
}

/** Runs jobs that share one task, and settles each with its own outcome. */
async function runTask(worker: Worker, jobs: readonly Job[], decode: DecodeOptions): Promise<void> {
  const transfer = jobs.flatMap(({ image }) =>
    image.kind === "memory" ? [image.bytes.buffer] : [],
  );
  const [first] = jobs;
  if (first?.kind === "prepare") {
    const { image, maxBase64Chars } = first;
    const task = { kind: "prepare-upstream", image, decode, maxBase64Chars } as const;
    first.settle(await worker.run(task, transfer));
    return;
  }
  const embeds = jobs.filter((job) => job.kind === "embed");
  const images = embeds.map((job) => job.image);
  const outcomes = await worker.run({ kind: "embed-images", images, decode }, transfer);
  embeds.forEach((job, index) => {
    job.settle(outcomes[index] ?? new Error("a worker answered too few outcomes"));
  });
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
