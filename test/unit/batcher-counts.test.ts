/**
 * How much work a fixed pattern of arrivals makes, in counts: a slower service that runs the model more often, or on
 * fewer images at a time, is seen here without a clock.
 */
import { expect, test } from "bun:test";
import { createBatcher } from "../../src/backends/batcher.ts";
import type { ClipTextModelFile, Task } from "../../src/backends/protocol.ts";
import { limits } from "../../src/limits.ts";
import {
  answerMarks,
  anyModel,
  createFakeWorker,
  type FakeWorker,
  imageOf,
} from "../support/fake-worker.ts";
import { patientOptions } from "../support/patient-batcher.ts";

/** Of the documented load. */
const clients = 24;

/** Two warm workers behind a queue with the limits of the service. */
async function setUp() {
  const workers = [createFakeWorker(), createFakeWorker()] as const;
  const batcher = createBatcher({
    ...patientOptions,
    workers,
    maxBatch: limits.maxBatch,
    maxTextBatch: limits.maxTextBatch,
  });
  await batcher.warmUp({ ...anyModel, wideThreads: 2 });
  await Bun.sleep(0);
  return { batcher, workers };
}

function terms() {
  return { signal: new AbortController().signal, deadline: performance.now() + 60_000 };
}

/** Clients of which each sends its next as soon as it has its answer, so many times. */
async function closedLoop(
  times: number,
  send: () => Promise<unknown>,
  count = clients,
): Promise<void> {
  const client = async () => {
    for (let sent = 0; sent < times; sent += 1) await send();
  };
  await Promise.all(Array.from({ length: count }, client));
}

/** Answers the workers' tasks, in turn where both have one, each once the clients of the one before have sent again. */
async function answerInTurn(workers: readonly FakeWorker[], done: Promise<void>): Promise<void> {
  let isOver = false;
  const over = done.then(() => {
    isOver = true;
  });
  let turns = workers.map((worker) => ({ worker, next: worker.next() }));
  while (!isOver) {
    const nexts = turns.map(({ worker, next }) => next.then((held) => ({ worker, held })));
    const one = await Promise.race([...nexts, over]);
    if (one === undefined) return;
    const { worker, held } = one;
    turns = [...turns.filter((turn) => turn.worker !== worker), { worker, next: worker.next() }];
    const { task } = held;
    if (task.kind === "embed-texts") {
      held.answer(
        task.texts.map(() => ({
          vector: new Float32Array(1),
          truncated: false,
          tokens: 3,
          inferMs: 1,
        })),
      );
    } else answerMarks(held);
    await Bun.sleep(0);
  }
}

function sizesOf(workers: readonly FakeWorker[]): number[] {
  const sizeOf = (task: Task) => {
    if (task.kind === "embed-images") return task.images.length;
    return task.kind === "embed-texts" ? task.texts.length : [];
  };
  return workers.flatMap(({ tasks }) => tasks.flatMap(sizeOf));
}

test("24 clients fill every batch of images but the first and last of each worker, and one run serves eight", async () => {
  const { batcher, workers } = await setUp();
  const rounds = 20;
  const done = closedLoop(rounds, () => batcher.embed({ ...terms(), image: imageOf(1) }));
  await answerInTurn(workers, done);
  const sizes = sizesOf(workers);
  expect(sizes.reduce((sum, size) => sum + size, 0)).toBe(clients * rounds);
  // One alone for each worker at first, and what is left in the end, shared by both.
  expect(sizes.filter((size) => size < limits.maxBatch).length).toBeLessThanOrEqual(6);
  expect(sizes.length).toBeLessThanOrEqual((clients * rounds) / limits.maxBatch + 5);
  const isAlone = workers.map(({ tasks }) =>
    tasks.filter((task) => task.kind === "embed-images" && task.isAlone),
  );
  expect(isAlone.map(({ length }) => length)).toEqual([1, 0]);
});

test.each([4, 6, 8, 12])(
  "%i clients of images come to be shared evenly by two workers",
  async (count) => {
    const { batcher, workers } = await setUp();
    const rounds = 20;
    const send = () => batcher.embed({ ...terms(), image: imageOf(1) });
    await answerInTurn(workers, closedLoop(rounds, send, count));
    for (const worker of workers) {
      const sizes = sizesOf([worker]);
      const even = sizes.filter((size) => size === count / 2).length;
      expect({ sizes, isEven: even >= sizes.length - 6 }).toEqual({ sizes, isEven: true });
    }
  },
);

test("what waits is begun soon where the callers that were answered do not come again", async () => {
  const { batcher, workers } = await setUp();
  const send = () => batcher.embed({ ...terms(), image: imageOf(1) });
  const answers = Array.from({ length: 6 }, send);
  const [one, other] = [await workers[0].next(), await workers[1].next()];
  answerMarks(one);
  answerMarks(other);
  const [three, twoMore] = [await workers[0].next(), await workers[1].next()];
  answerMarks(three);
  // The other worker is busy, and one of three waits for others that never come.
  const late = send();
  answerMarks(await workers[0].next());
  answerMarks(twoMore);
  await Promise.all([...answers, late]);
});

test("24 clients share tasks of texts among both workers, where the weights are shared", async () => {
  const { batcher, workers } = await setUp();
  const rounds = 20;
  const model: ClipTextModelFile = {
    textTower: "text.onnx",
    packedTextTower: "packed/text.onnx",
    skipsPadding: true,
    dimensions: 1,
    threads: 1,
  };
  const send = () => batcher.embedText({ ...terms(), text: "a", model });
  await answerInTurn(workers, closedLoop(rounds, send));
  const [one = 0, other = 0] = workers.map((worker) => sizesOf([worker]).length);
  expect(Math.abs(one - other)).toBeLessThanOrEqual(2);
  // A worker takes what came while the other was at its own: half of the clients'.
  expect(one + other).toBeLessThanOrEqual((clients * rounds) / (clients / 2) + 6);
});

test("one image is one task of one run, whatever comes before and after it", async () => {
  const { batcher, workers } = await setUp();
  for (let sent = 0; sent < 5; sent += 1) {
    const answer = batcher.embed({ ...terms(), image: imageOf(sent) });
    answerMarks(await workers[0].next());
    await answer;
    await Bun.sleep(0);
  }
  expect(sizesOf(workers)).toEqual([1, 1, 1, 1, 1]);
});

test("of a caller's 256 images no more than the batches in flight come before another's one", async () => {
  const { batcher, workers } = await setUp();
  const caller = new AbortController();
  const many = Array.from({ length: 256 }, () =>
    batcher.embed({ ...terms(), signal: caller.signal, image: imageOf(1) }),
  );
  const settled = Promise.allSettled(many);
  for (const worker of workers) answerMarks(await worker.next());
  await Bun.sleep(0);
  // Now each worker is at a full batch of theirs.
  const single = batcher.embed({ ...terms(), image: imageOf(9) });
  for (const worker of workers) answerMarks(await worker.next());
  await Bun.sleep(0);
  const next = await workers[0].next();
  expect(JSON.stringify(next.task)).toContain(JSON.stringify(imageOf(9)));
  answerMarks(next);
  await single;
  caller.abort();
  await settled;
});
