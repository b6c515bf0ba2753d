/** What crosses to a worker and back: jobs of one kind become one task, and each gets its own outcome. */
import { Problem } from "../errors.ts";
import type { Observer } from "../observer.ts";
import type { BatchShares } from "./batch-shares.ts";
import type { Forecast } from "./forecast.ts";
import { inputKindOf, type Job, type Settle } from "./job.ts";
import type { Worker } from "./pool.ts";
import type { DecodeOptions } from "./protocol.ts";

export interface JobRunnerOptions {
  readonly decode: DecodeOptions;
  readonly forecast: Pick<Forecast, "begin">;
  readonly shares: Pick<BatchShares, "began">;
  /** Takes a job that its task had no time to begin, and that somebody still waits for. */
  readonly putBack: (job: Job) => void;
  /** Takes note of every task. */
  readonly observer?: Pick<Observer, "batchRun"> | undefined;
}

/**
 * Runs jobs that a queue gave together.
 *
 * @param onAll whether an image may be inferred on all cores.
 * @throws what the worker throws, once every job has been told.
 */
export type RunJobs = (worker: Worker, jobs: readonly Job[], onAll: boolean) => Promise<void>;

/** What a task with such jobs is called by whoever counts them. */
const batchKinds = { embed: "image", "embed-text": "text", prepare: "prepare" } as const;

/** Makes what runs jobs and keeps the accounts of it. */
export function createJobRunner(options: JobRunnerOptions): RunJobs {
  const { forecast, shares, observer } = options;
  return async (worker, jobs, onAll) => {
    for (const job of jobs) job.started();
    const { kind: first } = jobs[0] ?? { kind: "embed" };
    const kind = inputKindOf({ kind: first });
    const end = forecast.begin(kind, jobs.length);
    const answered = first === "prepare" ? undefined : shares.began(kind, jobs.length);
    let tookMs: number | undefined;
    try {
      tookMs = await runTask(worker, jobs, onAll, options);
    } catch (error) {
      for (const job of jobs) job.settle(asError(error));
      throw error;
    } finally {
      end(tookMs);
      answered?.();
      observer?.batchRun(batchKinds[first], jobs.length);
    }
  };
}

type EmbedJob = Extract<Job, { kind: "embed" }>;
type TextJob = Extract<Job, { kind: "embed-text" }>;
type PrepareJob = Extract<Job, { kind: "prepare" }>;

/** @returns ms that each took; undefined where that says nothing of the next ones, as of images that do not decode. */
function runTask(
  worker: Worker,
  jobs: readonly Job[],
  onAll: boolean,
  options: JobRunnerOptions,
): Promise<number | undefined> {
  const [first] = jobs;
  switch (first?.kind) {
    case "embed-text": {
      const texts = jobs.filter((job) => job.kind === "embed-text");
      return runTexts(worker, texts, first.model);
    }
    case "prepare":
      return runPrepare(worker, first, options);
    default: {
      const images = jobs.filter((job) => job.kind === "embed");
      return runImages(worker, images, onAll, options);
    }
  }
}

/** How much longer than the inference a task takes at most, its way to the thread and back included: more is loading. */
const maxDetour = 2;

/** @returns as {@link runTask}. */
async function runTexts(
  worker: Worker,
  jobs: readonly TextJob[],
  model: TextJob["model"],
): Promise<number | undefined> {
  const startedAt = performance.now();
  const texts = jobs.map((job) => job.text);
  const answer = await worker.run({ kind: "embed-texts", model, texts });
  if ("problem" in answer) {
    const { code, detail, cause } = answer.problem;
    for (const job of jobs) job.settle(new Problem(code, detail, { cause }));
    return undefined;
  }
  settleEach(jobs, answer);
  // By the clock here, as images; but the first texts also wait until their tower is loaded.
  const inferMs = answer[0]?.inferMs ?? 0;
  const tookMs = Math.min(performance.now() - startedAt, maxDetour * inferMs);
  return Math.max(inferMs, tookMs) / texts.length;
}

/** @returns as {@link runTask}. */
async function runPrepare(
  worker: Worker,
  job: PrepareJob,
  { decode }: JobRunnerOptions,
): Promise<number> {
  const startedAt = performance.now();
  const { image, maxBase64Chars, maxSide, also: { isReported = false } = {} } = job;
  const task = { kind: "prepare-upstream", image, decode, maxBase64Chars, maxSide } as const;
  const wanted = { ...task, ...(isReported && { isReported }) };
  job.settle(await worker.run(wanted, buffersOf([job])));
  return performance.now() - startedAt;
}

/** @returns as {@link runTask}. */
async function runImages(
  worker: Worker,
  jobs: readonly EmbedJob[],
  onAll: boolean,
  { decode, putBack }: JobRunnerOptions,
): Promise<number | undefined> {
  const startedAt = performance.now();
  const images = jobs.map((job) => job.image);
  const also = jobs.map((job) => job.also);
  const isPlain = also.every((one) => one === undefined);
  const plain = { kind: "embed-images", images, decode, isAlone: onAll } as const;
  const task = isPlain ? plain : { ...plain, also };
  const outcomes = await worker.run(task, buffersOf(jobs));
  const toSettle = jobs.map((job, index) => {
    const { notStarted, bytes } = outcomes[index] ?? {};
    const image =
      bytes === undefined ? job.image : ({ ...job.image, kind: "memory", bytes } as const);
    const tryAgain = () => {
      if (!job.isOver()) putBack({ ...job, image });
    };
    return notStarted ? { settle: tryAgain } : job;
  });
  settleEach(toSettle, outcomes);
  const isInferred = outcomes.some(({ result }) => "vector" in result);
  return isInferred ? (performance.now() - startedAt) / jobs.length : undefined;
}

/** What moves to the worker. */
function buffersOf(jobs: readonly (EmbedJob | PrepareJob)[]): readonly ArrayBuffer[] {
  return jobs.flatMap(({ image }) => (image.kind === "memory" ? [image.bytes.buffer] : []));
}

function settleEach<Outcome>(
  jobs: readonly { readonly settle: Settle<Outcome> }[],
  outcomes: readonly Outcome[],
): void {
  jobs.forEach((job, index) => {
    job.settle(outcomes[index] ?? new Error("a worker answered too few outcomes"));
  });
}

function asError(error: unknown): Error {
  return error instanceof Error ? error : new Error(String(error));
}
