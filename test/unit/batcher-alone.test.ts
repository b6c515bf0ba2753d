/** A picture that comes alone: who gets all cores, and who does not; with workers whose answers the test holds. */
import { expect, test } from "bun:test";
import { createBatcher } from "../../src/backends/batcher.ts";
import type { SharedCores } from "../../src/backends/protocol.ts";
import { until } from "../support/client.ts";
import {
  answerMarks,
  anyModel,
  createFakeWorker,
  type FakeWorker,
  type HeldTask,
  imageOf,
  marksOf,
} from "../support/fake-worker.ts";
import { patientOptions } from "../support/patient-batcher.ts";

/** A worker is free a moment after its answers are out. */
async function freed(): Promise<void> {
  await Bun.sleep(0);
}

/** Two warm workers, of which the first has opened its session of all cores, unless it fails to. */
async function setUp(onOpenWide = async () => true) {
  const workers = [createFakeWorker({ onOpenWide }), createFakeWorker({ onOpenWide })] as const;
  const batcher = createBatcher({
    ...patientOptions,
    workers,
    maxTextBatch: 16,
  });
  await batcher.warmUp({ ...anyModel, wideThreads: 2 });
  await freed();
  const terms = (mark: number) => ({
    image: imageOf(mark),
    signal: new AbortController().signal,
    deadline: performance.now() + 60_000,
  });
  return {
    workers,
    /** Embeds the image with this mark; gives the mark that its vector says. */
    embed: async (mark: number): Promise<number | undefined> => {
      const { result } = (await batcher.embed(terms(mark))).outcome;
      if ("problem" in result) throw new Error(result.problem.code);
      return result.vector[0];
    },
    prepare: (mark: number) => batcher.prepareUpstream(terms(mark), 1000),
  };
}

/** The number that the workers share; each is told of it with its warm-up. */
function coresOf({ tasks }: FakeWorker): SharedCores {
  const [cores] = tasks.flatMap((task) => (task.kind === "warm-up" ? [task.cores] : []));
  if (cores === undefined) throw new Error("the worker was told of no cores");
  return cores;
}

/** Whether a held task may take all cores. */
function isAlone({ task }: Pick<HeldTask, "task">): boolean | undefined {
  return task.kind === "embed-images" ? task.isAlone : undefined;
}

test("whenever all workers are idle, a picture goes to the one that has the session of all cores", async () => {
  const { embed, workers } = await setUp();
  for (const mark of [1, 2, 3]) {
    const answer = embed(mark);
    const held = await workers[0].next();
    expect(isAlone(held)).toBe(true);
    answerMarks(held);
    expect(await answer).toBe(mark);
    await freed();
  }
  expect(workers[1].tasks.map(({ kind }) => kind)).toEqual(["warm-up"]);
});

test("one that comes while another is at work is not alone, nor are those who had to wait", async () => {
  const { embed, workers } = await setUp();
  const answers = [1, 2, 3, 4].map((mark) => embed(mark));
  const [first, second] = [await workers[0].next(), await workers[1].next()];
  expect([isAlone(first), isAlone(second)]).toEqual([true, false]);
  answerMarks(second);
  const later = await workers[1].next();
  expect([isAlone(later), marksOf(later)]).toEqual([false, [3, 4]]);
  answerMarks(first);
  answerMarks(later);
  await Promise.all(answers);
});

test("an image that is prepared for the hosted model is company", async () => {
  const { embed, prepare, workers } = await setUp();
  const other = prepare(1);
  const answer = embed(2);
  const held = await workers[1].next();
  expect(isAlone(held)).toBe(false);
  answerMarks(held);
  (await workers[0].next()).answer({
    result: { image: new Uint8Array(), mime: "image/jpeg" },
    timings: { decodeMs: 1, inferMs: 0 },
  });
  await Promise.all([answer, other]);
});

test("where the session of all cores cannot be opened, a picture has its worker's share", async () => {
  const { embed, workers } = await setUp(async () => false);
  const answer = embed(1);
  const held = await workers[0].next();
  expect(isAlone(held)).toBe(false);
  answerMarks(held);
  await answer;
});

test("while that session is being opened, a picture goes to another worker", async () => {
  const opened = Promise.withResolvers<boolean>();
  const { embed, workers } = await setUp(() => opened.promise);
  const answer = embed(1);
  answerMarks(await workers[1].next());
  expect(await answer).toBe(1);
  opened.resolve(true);
});

test("once a worker that died is warm again, a picture that comes alone gets all cores again", async () => {
  const { embed, workers } = await setUp();
  const doomed = embed(1).catch(String);
  (await workers[0].next()).fail(new Error("died"));
  expect(await doomed).toContain("died");
  await until(() => workers[0].tasks.filter(({ kind }) => kind === "open-wide").length === 2);
  await freed();
  const answer = embed(2);
  const held = await workers[0].next();
  expect(isAlone(held)).toBe(true);
  answerMarks(held);
  await answer;
});

test("a worker that dies of opening that session is not asked again", async () => {
  const { embed, workers } = await setUp(async () => {
    throw new Error("died");
  });
  await until(() => workers[0].tasks.filter(({ kind }) => kind === "warm-up").length === 2);
  await freed();
  const answer = embed(1);
  answerMarks(await workers[0].next());
  await answer;
  expect(workers[0].tasks.filter(({ kind }) => kind === "open-wide")).toHaveLength(1);
});

test("a thread that died in an inference does not keep its share of the cores", async () => {
  const { embed, workers } = await setUp();
  const [first] = workers;
  const cores = coresOf(first);
  Atomics.store(cores, 0, 1);
  const embedded = embed(1);
  const task = await first.next();
  expect(isAlone(task)).toBe(true);
  expect(Atomics.load(cores, 0)).toBe(0);
  answerMarks(task);
  expect(await embedded).toBe(1);
});
