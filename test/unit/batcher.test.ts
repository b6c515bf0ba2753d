/** The queue in front of the workers, with workers whose answers the test holds. */
import { expect, test } from "bun:test";
import { type BatcherOptions, createBatcher } from "../../src/backends/batcher.ts";
import type { EmbedOutcome, PreparedOutcome } from "../../src/backends/protocol.ts";
import { until } from "../support/client.ts";
import {
  answerMarks,
  anyModel,
  anyModelToWrite,
  createFakeWorker,
  type FakeWorker,
  imageOf,
  marksOf,
  outcomeOf,
} from "../support/fake-worker.ts";
import { patientOptions } from "../support/patient-batcher.ts";

interface Terms {
  readonly signal?: AbortSignal;
  readonly timeoutMs?: number;
}

/** A queue in front of these workers, and short ways to ask it. */
function setUp(workers: readonly FakeWorker[], options: Partial<BatcherOptions> = {}) {
  const lost: Error[] = [];
  const batcher = createBatcher({
    ...patientOptions,
    workers,
    onWorkerLost: (cause) => lost.push(cause),
    ...options,
  });
  const termsOf = (mark: number, { signal, timeoutMs = 60_000 }: Terms = {}) => ({
    image: imageOf(mark),
    signal: signal ?? new AbortController().signal,
    deadline: performance.now() + timeoutMs,
  });
  return {
    ...batcher,
    lost,
    /** Embeds the image with this mark; gives the mark that its vector says. */
    embed: async (mark: number, terms?: Terms): Promise<number | undefined> => {
      const { result } = (await batcher.embed(termsOf(mark, terms))).outcome;
      if ("problem" in result) throw new Error(result.problem.code);
      return result.vector[0];
    },
    queued: (mark: number) => batcher.embed(termsOf(mark)),
    prepare: (mark: number, terms?: Terms) => batcher.prepareUpstream(termsOf(mark, terms), 1000),
  };
}

/** A queue in front of one warm worker. */
async function setUpWarm(options: Partial<BatcherOptions> = {}) {
  const worker = createFakeWorker();
  const batcher = setUp([worker], options);
  await batcher.warmUp(anyModel);
  return { ...batcher, worker };
}

/** What a worker answers to a `prepare-upstream`. */
const prepared: PreparedOutcome = {
  result: { image: new Uint8Array(), mime: "image/jpeg" },
  timings: { decodeMs: 1, inferMs: 0 },
};

/** Marks from `first` to `last`. */
function range(first: number, last: number): number[] {
  return Array.from({ length: last - first + 1 }, (_, index) => first + index);
}

test("an idle service infers at once, with a batch of one", async () => {
  const { embed, waiting, worker } = await setUpWarm();
  const answer = embed(1);
  expect(waiting()).toBe(0);
  expect(worker.tasks.at(-1)).toMatchObject({ kind: "embed-images", images: [imageOf(1)] });
  answerMarks(await worker.next());
  expect(await answer).toBe(1);
});

test("a free worker takes all that waits, up to 8, in the order of arrival", async () => {
  const { embed, waiting, worker } = await setUpWarm();
  const answers = range(1, 12).map((mark) => embed(mark));
  expect(waiting()).toBe(11);
  const batches: number[][] = [];
  while (batches.flat().length < 12) {
    const held = await worker.next();
    batches.push(marksOf(held));
    answerMarks(held);
  }
  expect(batches).toEqual([[1], range(2, 9), range(10, 12)]);
  expect(await Promise.all(answers)).toEqual(range(1, 12));
});

test("two workers share what comes", async () => {
  const workers = [createFakeWorker(), createFakeWorker()] as const;
  const { embed, warmUp, waiting } = setUp(workers);
  await warmUp(anyModel);
  const answers = [embed(1), embed(2), embed(3)];
  expect(waiting()).toBe(1);
  const [first, second] = await Promise.all(workers.map((worker) => worker.next()));
  if (first === undefined || second === undefined) throw new Error("a worker has no task");
  expect([marksOf(first), marksOf(second)]).toEqual([[1], [2]]);
  answerMarks(second);
  answerMarks(await workers[1].next());
  answerMarks(first);
  expect(await Promise.all(answers)).toEqual([1, 2, 3]);
});

test("one bad image does not fail its neighbours", async () => {
  const { embed, worker } = await setUpWarm();
  const first = embed(1);
  const answers = Promise.allSettled([embed(2), embed(3), embed(4)]);
  answerMarks(await worker.next());
  await first;
  const bad = { code: "undecodable-image", detail: "It is cut short." } as const;
  const timings = { decodeMs: 1, inferMs: 1 };
  (await worker.next()).answer([outcomeOf(2), { result: { problem: bad }, timings }, outcomeOf(4)]);
  expect(await answers).toMatchObject([
    { value: 2 },
    { reason: { message: "undecodable-image" } },
    { value: 4 },
  ]);
});

test("a worker that answers too few outcomes fails only the images that it forgot", async () => {
  const { embed, worker } = await setUpWarm();
  const first = embed(1);
  const answers = Promise.allSettled([embed(2), embed(3)]);
  answerMarks(await worker.next());
  await first;
  (await worker.next()).answer([outcomeOf(2)]);
  expect(await answers).toMatchObject([{ value: 2 }, { status: "rejected" }]);
});

test("the oldest job goes first, whatever its kind", async () => {
  const { embed, prepare, worker } = await setUpWarm();
  const answers = [embed(1), prepare(2), embed(3), prepare(4), embed(5)];
  const kinds: string[] = [];
  for (const _ of range(1, 4)) {
    const held = await worker.next();
    kinds.push(`${held.task.kind} ${marksOf(held)}`);
    if (held.task.kind === "embed-images") answerMarks(held);
    else held.answer(prepared);
  }
  await Promise.all(answers);
  expect(kinds).toEqual([
    "embed-images 1",
    "prepare-upstream 2",
    "embed-images 3,5",
    "prepare-upstream 4",
  ]);
});

test("while no model is loaded, images for the hosted model pass those that wait for it", async () => {
  const worker = createFakeWorker();
  const { embed, prepare, waiting, warmUp } = setUp([worker]);
  const early = embed(1);
  const answer = prepare(2);
  expect(waiting()).toBe(1);
  (await worker.next()).answer(prepared);
  expect((await answer).outcome).toBe(prepared);
  await warmUp(anyModel);
  answerMarks(await worker.next());
  expect(await early).toBe(1);
});

test("a job tells how long it waited for a worker", async () => {
  const { queued, worker } = await setUpWarm();
  const answers = [queued(1), queued(2)] as const;
  const held = await worker.next();
  await Bun.sleep(20);
  answerMarks(held);
  answerMarks(await worker.next());
  const [atOnce, later] = await Promise.all(answers);
  expect(later.queueMs).toBeGreaterThanOrEqual(19);
  expect(atOnce.queueMs).toBeLessThan(later.queueMs);
});

test("a job that waits past its deadline is an inference-timeout, and is never begun", async () => {
  const { embed, waiting, worker } = await setUpWarm();
  const running = embed(1);
  const late = embed(2, { timeoutMs: 1 });
  await expect(late).rejects.toMatchObject({ name: "Problem", code: "inference-timeout" });
  expect(waiting()).toBe(0);
  answerMarks(await worker.next());
  await running;
  expect(worker.tasks.filter(({ kind }) => kind === "embed-images")).toHaveLength(1);
});

test("a job that runs past its deadline is an inference-timeout, and the worker goes on", async () => {
  const { embed, worker, lost } = await setUpWarm();
  await expect(embed(1, { timeoutMs: 1 })).rejects.toMatchObject({ code: "inference-timeout" });
  const next = embed(2);
  answerMarks(await worker.next());
  answerMarks(await worker.next());
  expect(await next).toBe(2);
  expect(lost).toEqual([]);
});

test("a caller who leaves while waiting leaves no job behind", async () => {
  const { embed, waiting, worker } = await setUpWarm();
  const caller = new AbortController();
  const running = embed(1);
  const waits = embed(2, { signal: caller.signal });
  expect(waiting()).toBe(1);
  caller.abort(new Error("gone"));
  expect(waiting()).toBe(0);
  await expect(waits).rejects.toThrow("gone");
  answerMarks(await worker.next());
  await running;
  expect(worker.tasks.filter(({ kind }) => kind === "embed-images")).toHaveLength(1);
});

test("a caller who leaves while the job runs gets nothing, and its neighbours everything", async () => {
  const { embed, worker } = await setUpWarm();
  const caller = new AbortController();
  const first = embed(1);
  const leaves = embed(2, { signal: caller.signal });
  const stays = embed(3);
  answerMarks(await worker.next());
  await first;
  const held = await worker.next();
  caller.abort();
  await expect(leaves).rejects.toThrow();
  answerMarks(held);
  expect(await stays).toBe(3);
});

test("a caller who has left already is not queued", async () => {
  const { embed, worker } = await setUpWarm();
  await expect(embed(1, { signal: AbortSignal.abort() })).rejects.toThrow();
  // The second is the release of the session.
  expect(worker.tasks.map((task) => "model" in task && task.model)).toEqual([anyModel, undefined]);
});

test("a worker that throws fails the jobs it had, and serves on once it is warm again", async () => {
  const { embed, worker } = await setUpWarm();
  const failed = Promise.allSettled([embed(1)]);
  const next = embed(2);
  (await worker.next()).fail(new Error("broken"));
  expect(await failed).toMatchObject([{ reason: { message: "broken" } }]);
  answerMarks(await worker.next());
  expect(await next).toBe(2);
  expect(worker.tasks.map(({ kind }) => kind)).toEqual([
    "warm-up",
    "embed-images",
    "warm-up",
    "embed-images",
  ]);
});

test("a worker that cannot be warmed up again is lost for embedding, and still prepares", async () => {
  let warmUps = 0;
  const worker = createFakeWorker({
    onWarmUp: async () => {
      warmUps += 1;
      if (warmUps > 1) throw new Error("no memory");
    },
  });
  const { embed, lost, prepare, waiting, warmUp } = setUp([worker]);
  await warmUp(anyModel);
  const failed = Promise.allSettled([embed(1)]);
  (await worker.next()).fail(new Error("broken"));
  await failed;
  await until(() => lost.length > 0);
  expect(lost).toMatchObject([{ cause: { message: "no memory" } }]);
  const stuck = Promise.allSettled([embed(2, { timeoutMs: 50 })]);
  const answer = prepare(3);
  expect(waiting()).toBe(1);
  (await worker.next()).answer(prepared);
  expect((await answer).outcome).toBe(prepared);
  expect(await stuck).toMatchObject([{ reason: { code: "inference-timeout" } }]);
});

test("a worker that hangs is reported once, left alone, and gets no more work", async () => {
  const workers = [createFakeWorker(), createFakeWorker()] as const;
  const { embed, lost, warmUp } = setUp(workers, { hangTimeoutMs: 20 });
  await warmUp(anyModel);
  const stuck = Promise.allSettled([embed(1)]);
  await until(() => lost.length > 0);
  for (const mark of range(2, 4)) {
    const answer = embed(mark);
    answerMarks(await workers[1].next());
    expect(await answer).toBe(mark);
  }
  expect(await stuck).toMatchObject([{ reason: { code: "shutting-down" } }]);
  expect(workers[0].tasks.map(({ kind }) => kind)).toEqual(["warm-up", "embed-images"]);
  expect(workers[0].isClosed).toBe(false);
  expect(lost).toHaveLength(1);
});

test("once every worker hangs, what waits is refused at once, and so is what comes", async () => {
  const { embed, lost, warmUp } = setUp([createFakeWorker()], { hangTimeoutMs: 20 });
  await warmUp(anyModel);
  const answers = await Promise.allSettled([embed(1), embed(2)]);
  const refused = { reason: { code: "shutting-down" } };
  expect(answers).toMatchObject([refused, refused]);
  expect(lost).toHaveLength(1);
  await expect(embed(3)).rejects.toMatchObject({ code: "shutting-down" });
});

test("a model that is never written loses its worker", async () => {
  const onWriteModel = () => new Promise<never>(() => {});
  const worker = createFakeWorker({ onWriteModel });
  const { lost, writeModel } = setUp([worker], { writeModelTimeoutMs: 5 });
  await expect(writeModel(anyModelToWrite)).rejects.toThrow("took too long");
  await until(() => lost.length > 0);
});

test("while the first worker makes the model, the threads of the others start", () => {
  const workers = [createFakeWorker(), createFakeWorker(), createFakeWorker()] as const;
  const { writeModel } = setUp(workers);
  void writeModel(anyModelToWrite);
  expect(workers.map(({ tasks }) => tasks.map(({ kind }) => kind))).toEqual([
    ["write-model"],
    ["ping"],
    ["ping"],
  ]);
});

test("idle workers are asked for a sign of life, and those that work are not", async () => {
  const workers = [createFakeWorker(), createFakeWorker()] as const;
  const { checkWorkers, embed, warmUp } = setUp(workers);
  await warmUp(anyModel);
  const answer = embed(1);
  checkWorkers();
  expect(workers.map(({ tasks }) => tasks.at(-1)?.kind)).toEqual(["embed-images", "ping"]);
  answerMarks(await workers[0].next());
  expect(await answer).toBe(1);
});

test("closing does not wait for a worker that hangs, and does not touch it", async () => {
  const workers = [createFakeWorker(), createFakeWorker()] as const;
  const { close, embed, lost, warmUp } = setUp(workers, { hangTimeoutMs: 20 });
  await warmUp(anyModel);
  const stuck = Promise.allSettled([embed(1, { timeoutMs: 50 })]);
  const closed = close();
  await closed;
  expect(lost).toHaveLength(1);
  expect(workers.map(({ isClosed }) => isClosed)).toEqual([false, true]);
  await stuck;
});

test("closing finishes what runs and what waits, refuses what comes, and ends the threads", async () => {
  const { close, embed, worker } = await setUpWarm();
  const answers = [embed(1), embed(2)];
  const closed = close();
  await expect(embed(3)).rejects.toMatchObject({ code: "shutting-down" });
  answerMarks(await worker.next());
  expect(worker.isClosed).toBe(false);
  answerMarks(await worker.next());
  expect(await Promise.all(answers)).toEqual([1, 2]);
  await closed;
  expect(worker.isClosed).toBe(true);
});

test("closing an idle queue ends the threads at once", async () => {
  const { close, worker } = await setUpWarm();
  await close();
  expect(worker.isClosed).toBe(true);
});

test("closing waits for a job that no worker can take, until that job gives up", async () => {
  const worker = createFakeWorker();
  const { close, embed } = setUp([worker]);
  const stuck = Promise.allSettled([embed(1, { timeoutMs: 10 })]);
  await close();
  expect(await stuck).toMatchObject([{ reason: { code: "inference-timeout" } }]);
  expect(worker.isClosed).toBe(true);
});

test("once closed, no model is loaded any more", async () => {
  const { close, warmUp, worker, writeModel } = await setUpWarm();
  await close();
  await expect(writeModel(anyModelToWrite)).rejects.toMatchObject({ code: "shutting-down" });
  await expect(warmUp(anyModel)).rejects.toMatchObject({ code: "shutting-down" });
  // The second is the release of the session.
  expect(worker.tasks.map((task) => "model" in task && task.model)).toEqual([anyModel, undefined]);
});

test("the expected wait grows with the queue, from the rate measured so far", async () => {
  const { embed, expectedWaitMs, worker } = await setUpWarm();
  expect(expectedWaitMs("image")).toBe(0);
  const first = embed(1);
  const held = await worker.next();
  await Bun.sleep(20);
  answerMarks(held);
  await first;
  await Bun.sleep(1);
  expect(expectedWaitMs("image")).toBe(0);
  const answers = range(2, 4).map((mark) => embed(mark));
  expect(expectedWaitMs("image")).toBeGreaterThanOrEqual(38);
  const one = expectedWaitMs("image") / 2;
  answers.push(embed(5));
  expect(expectedWaitMs("image")).toBeCloseTo(one * 3);
  answerMarks(await worker.next());
  answerMarks(await worker.next());
  await Promise.all(answers);
  expect(expectedWaitMs("image")).toBe(0);
});

test("the expected wait follows the workers when they become faster", async () => {
  const { embed, expectedWaitMs, worker } = await setUpWarm();
  /** Runs one image for so long, and tells the wait behind another. */
  const waitAfter = async (ms: number) => {
    const answers = [embed(1), embed(2)];
    const held = await worker.next();
    await Bun.sleep(ms);
    const waitMs = expectedWaitMs("image");
    answerMarks(held);
    answerMarks(await worker.next());
    await Promise.all(answers);
    await Bun.sleep(1);
    return waitMs;
  };
  // A guess, until one has been measured.
  expect(await waitAfter(50)).toBe(100);
  const slow = await waitAfter(0);
  expect(slow).toBeGreaterThan(0);
  expect(await waitAfter(0)).toBeLessThan(slow);
});

test("a queue without workers cannot write a model", async () => {
  await expect(setUp([]).writeModel(anyModelToWrite)).rejects.toThrow("no worker");
});

/** What a worker answers of an image that its batch had no time for. */
function notStarted(mark: number): EmbedOutcome {
  const { timings } = outcomeOf(mark);
  const problem = { code: "inference-timeout", detail: "late" } as const;
  return { bytes: Uint8Array.of(mark), notStarted: true, timings, result: { problem } };
}

test("an image that its batch had no time for waits for the next, with the bytes that came back", async () => {
  const { embed, worker } = await setUpWarm();
  const embedded = [embed(0), embed(1), embed(2)];
  answerMarks(await worker.next());
  const outcomes: readonly EmbedOutcome[] = [outcomeOf(1), notStarted(2)];
  (await worker.next()).answer(outcomes);
  const next = await worker.next();
  expect(marksOf(next)).toEqual([2]);
  // It is not hashed again.
  expect(next.task).toMatchObject({ images: [{ sha256: "digest of 2" }] });
  answerMarks(next);
  expect(await Promise.all(embedded)).toEqual([0, 1, 2]);
});

test("a client that leaves while its image waits once more costs nothing", async () => {
  const { embed, waiting, worker } = await setUpWarm({ maxBatch: 2 });
  const client = new AbortController();
  const first = embed(0);
  const second = embed(1);
  const third = embed(2, { signal: client.signal });
  answerMarks(await worker.next());
  const batch = await worker.next();
  const fourth = embed(3);
  const outcomes: readonly EmbedOutcome[] = [notStarted(1), notStarted(2)];
  batch.answer(outcomes);
  const next = await worker.next();
  expect(waiting()).toBe(1);
  client.abort();
  await expect(third).rejects.toThrow();
  expect(waiting()).toBe(0);
  expect(marksOf(next)).toEqual([3, 1]);
  answerMarks(next);
  expect(await Promise.all([first, second, fourth])).toEqual([0, 1, 3]);
});

test("an image whose client left while its batch had no time for it is not tried again", async () => {
  const { embed, waiting, worker } = await setUpWarm({ maxBatch: 2 });
  const client = new AbortController();
  const first = embed(0);
  const [second, third] = [embed(1), embed(2, { signal: client.signal })];
  answerMarks(await worker.next());
  const batch = await worker.next();
  client.abort();
  await expect(third).rejects.toThrow();
  const outcomes: readonly EmbedOutcome[] = [notStarted(1), notStarted(2)];
  batch.answer(outcomes);
  const next = await worker.next();
  expect(marksOf(next)).toEqual([1]);
  expect(waiting()).toBe(0);
  answerMarks(next);
  expect(await Promise.all([first, second])).toEqual([0, 1]);
});

test("a batch of which nothing decoded is no measure of how long images take", async () => {
  const { embed, expectedWaitMs, worker } = await setUpWarm();
  const problem = { code: "undecodable-image", detail: "broken" } as const;
  const broken: EmbedOutcome = { ...outcomeOf(0), result: { problem } };
  /** What the second of two is told to wait while the first is with the worker. */
  const waitOfSecond = async () => {
    const failed = Promise.allSettled([embed(0), embed(1)]);
    const first = await worker.next();
    const waitMs = expectedWaitMs("image");
    first.answer([broken]);
    (await worker.next()).answer([broken]);
    expect((await failed).map(({ status }) => status)).toEqual(["rejected", "rejected"]);
    // A worker is free a moment after its answers are out.
    await Bun.sleep(0);
    return waitMs;
  };
  const before = await waitOfSecond();
  expect(before).toBeGreaterThan(0);
  expect(await waitOfSecond()).toBe(before);
});
