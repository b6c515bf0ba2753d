/** A model that counts as loaded once the first worker has it: what the others do then; with workers that the test holds. */
import { expect, test } from "bun:test";
import { type BatcherOptions, createBatcher } from "../../src/backends/batcher.ts";
import type { Task } from "../../src/backends/protocol.ts";
import { until } from "../support/client.ts";
import { answerMarks, anyModel, createFakeWorker, imageOf } from "../support/fake-worker.ts";
import { patientOptions } from "../support/patient-batcher.ts";

const model = { ...anyModel, wideThreads: 2 };

/** Two workers, whose warm-ups end when the test says so. */
function setUp(options: Partial<BatcherOptions> = {}) {
  const ends = [Promise.withResolvers<void>(), Promise.withResolvers<void>()] as const;
  const workers = [
    createFakeWorker({ onWarmUp: () => ends[0].promise }),
    createFakeWorker({ onWarmUp: () => ends[1].promise }),
  ] as const;
  const lost: Error[] = [];
  const batcher = createBatcher({
    ...patientOptions,
    workers,
    maxTextBatch: 16,
    isReadyWithFirst: true,
    onWorkerLost: (cause) => lost.push(cause),
    ...options,
  });
  const embed = (mark: number) =>
    batcher.embed({
      image: imageOf(mark),
      signal: new AbortController().signal,
      deadline: performance.now() + 60_000,
    });
  return { batcher, embed, ends, lost, workers };
}

function kindsOf({ tasks }: { readonly tasks: readonly Task[] }): readonly Task["kind"][] {
  return tasks.map(({ kind }) => kind);
}

test("it is loaded once the first has it, who answers while the other loads it", async () => {
  const { batcher, embed, ends, workers } = setUp();
  const loaded = batcher.warmUp(model);
  expect(kindsOf(workers[1])).toEqual([]);
  ends[0].resolve();
  await loaded;
  expect(kindsOf(workers[1])).toEqual(["warm-up"]);
  const answer = embed(1);
  answerMarks(await workers[0].next());
  await answer;
  expect(kindsOf(workers[1])).toEqual(["warm-up"]);
});

test("the other takes its part once it is warm, and then the session of all cores is opened", async () => {
  const { batcher, embed, ends, workers } = setUp();
  ends[0].resolve();
  await batcher.warmUp(model);
  const first = embed(1);
  const held = await workers[0].next();
  const second = embed(2);
  expect(kindsOf(workers[0])).toEqual(["warm-up", "embed-images"]);
  ends[1].resolve();
  answerMarks(await workers[1].next());
  await second;
  answerMarks(held);
  await first;
  await until(() => kindsOf(workers[0]).includes("open-wide"));
  expect(kindsOf(workers[1])).toEqual(["warm-up", "embed-images"]);
});

test("one that cannot load it is lost, so that the process drains and starts again", async () => {
  const { batcher, embed, ends, lost, workers } = setUp();
  ends[0].resolve();
  await batcher.warmUp(model);
  ends[1].reject(new Error("no memory"));
  await until(() => lost.length > 0);
  expect(lost).toMatchObject([
    { message: "a worker could not load the model", cause: new Error("no memory") },
  ]);
  const answer = embed(1);
  answerMarks(await workers[0].next());
  await answer;
});

test("one that hangs at it is told of once", async () => {
  const { batcher, ends, lost } = setUp({ warmUpTimeoutMs: 20 });
  ends[0].resolve();
  await batcher.warmUp(model);
  await until(() => lost.length > 0);
  await Bun.sleep(20);
  expect(lost).toMatchObject([{ name: "DeadlineError" }]);
});

test("a model that the first cannot load is not tried by the other", async () => {
  const { batcher, ends, workers } = setUp();
  const loaded = batcher.warmUp(model).catch(String);
  ends[0].reject(new Error("the file is broken"));
  expect(await loaded).toContain("the file is broken");
  expect(kindsOf(workers[1])).toEqual([]);
});

test("a stop meanwhile waits for the other, and opens no session more", async () => {
  const { batcher, ends, workers } = setUp();
  ends[0].resolve();
  await batcher.warmUp(model);
  const closed = batcher.close();
  expect(workers[1].isClosed).toBe(false);
  ends[1].resolve();
  await closed;
  expect(workers.map(({ isClosed }) => isClosed)).toEqual([true, true]);
  expect(workers.flatMap(kindsOf)).not.toContain("open-wide");
});
