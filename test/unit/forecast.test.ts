/** Whether work would be done in time: the queue in front of workers whose answers the test holds. */
import { expect, test } from "bun:test";
import { createBatcher } from "../../src/backends/batcher.ts";
import { createForecast } from "../../src/backends/forecast.ts";
import type { InputKind } from "../../src/backends/job.ts";
import type { ClipTextModelFile } from "../../src/backends/protocol.ts";
import {
  anyModel,
  createFakeWorker,
  type FakeWorker,
  type HeldTask,
} from "../support/fake-worker.ts";
import { patientOptions } from "../support/patient-batcher.ts";

const model: ClipTextModelFile = {
  textTower: "text.onnx",
  skipsPadding: true,
  dimensions: 1,
  threads: 1,
};

const maxBatch = { image: 8, text: 8 };

/** ms that a request may take. */
const timeoutMs = 10_000;

/** A queue in front of one warm worker that takes 10 ms a text, as it has been seen. */
async function setUp() {
  const worker = createFakeWorker();
  const batcher = createBatcher({
    ...patientOptions,
    workers: [worker],
  });
  await batcher.warmUp(anyModel);
  const ask = (inputs: number, kind: InputKind = "text") =>
    batcher.refusal({ kind, inputs, deadline: performance.now() + timeoutMs });
  /** One request with so many texts. */
  const send = (count: number): Promise<unknown> => {
    const terms = { signal: new AbortController().signal, deadline: performance.now() + timeoutMs };
    const texts = Array.from({ length: count }, () =>
      batcher.embedText({ ...terms, text: "a", model }),
    );
    return Promise.allSettled(texts);
  };
  const first = send(1);
  answer(await worker.next());
  await first;
  return { ...batcher, ask, send, worker, answerAll: () => answerAll(worker) };
}

function answer(held: HeldTask): void {
  const { task } = held;
  if (task.kind !== "embed-texts") throw new Error("no texts");
  const outcome = {
    vector: new Float32Array(1),
    truncated: false,
    tokens: 3,
    inferMs: 10 * task.texts.length,
  };
  held.answer(task.texts.map(() => outcome));
}

async function answerAll(worker: FakeWorker): Promise<never> {
  for (;;) answer(await worker.next());
}

test("an idle worker is given what it would never finish in time: only trying tells", async () => {
  const { ask } = await setUp();
  expect(ask(256)).toBeUndefined();
  expect(ask(100_000)).toBeUndefined();
});

test("so many texts are taken as can be done in two fifths of a request's time, and no more", async () => {
  const { ask, send, answerAll } = await setUp();
  let taken = 0;
  const done = [];
  while (ask(64) === undefined) {
    done.push(send(64));
    taken += 64;
  }
  // 10 ms each.
  expect(taken).toBeGreaterThan(300);
  expect(taken).toBeLessThanOrEqual(400);
  expect(ask(64)).toMatchObject({ code: "overloaded", retryAfterS: 1 });
  void answerAll();
  await Promise.all(done);
});

test("twelve who ask at the same time see what the others have been promised", async () => {
  const { ask, send, answerAll } = await setUp();
  const done = Array.from({ length: 12 }, () => {
    const refused = ask(200);
    return refused === undefined ? send(200) : refused;
  });
  expect(done.filter((one) => one instanceof Promise)).toHaveLength(1);
  void answerAll();
  await Promise.all(done);
});

test("who asks for little passes one who asked for much, until that one would be late", async () => {
  const { ask, send, answerAll } = await setUp();
  const done = [send(740)];
  expect(ask(740)).toBeDefined();
  let small = 0;
  while (ask(10) === undefined) {
    done.push(send(10));
    small += 10;
  }
  // The last quarter is theirs.
  expect(small).toBeGreaterThan(200);
  expect(740 + small).toBeLessThanOrEqual(1000);
  // Until the one who would be late is done.
  expect(ask(10)?.retryAfterS).toBeGreaterThanOrEqual(9);
  void answerAll();
  await Promise.all(done);
});

test("what takes too long by itself is told to come back when all else is done", async () => {
  const { ask, send, answerAll } = await setUp();
  const done = send(320);
  expect(ask(100_000)).toMatchObject({ retryAfterS: 4 });
  void answerAll();
  await done;
});

test("texts that wait refuse images on the only worker no sooner than turns demand", async () => {
  const { ask, send, answerAll } = await setUp();
  const done = send(700);
  expect(ask(1, "image")).toBeUndefined();
  void answerAll();
  await done;
});

test("nothing is no demand", async () => {
  const { ask, send, answerAll } = await setUp();
  const done = send(1000);
  expect(ask(0)).toBeUndefined();
  expect(ask(1)).toBeDefined();
  void answerAll();
  await done;
});

test("an image that is running counts, and its worker's next measurement changes the rate", () => {
  const preview = () => ({ lastPlace: 1, passed: [] });
  const { begin, refusal } = createForecast({
    queue: { size: () => 0, preview },
    workers: 1,
    textWorkers: () => 1,
    maxBatch,
  });
  const ask = () => refusal({ kind: "image", inputs: 1, deadline: performance.now() + timeoutMs });
  begin("image", 1)(5000);
  expect(ask()).toBeUndefined();
  const end = begin("image", 1);
  expect(ask()).toMatchObject({ code: "overloaded", retryAfterS: 3 });
  end(undefined);
  expect(ask()).toBeUndefined();
});

test("workers share images, and one of them the texts", () => {
  const waiting = { image: 100, text: 40 };
  const size = (kind?: InputKind) => (kind ? waiting[kind] : 140);
  const forecast = createForecast({
    queue: { size, preview: () => ({ lastPlace: 1, passed: [] }) },
    workers: 2,
    textWorkers: () => 1,
    maxBatch,
  });
  forecast.begin("image", 1)(100);
  forecast.begin("text", 1)(10);
  // One of them loses 400 ms to texts, which the other makes up for.
  expect(forecast.waitMs("image")).toBe((100 * 100 + 40 * 10) / 2);
  // As many images as texts come between.
  expect(forecast.waitMs("text")).toBe(40 * 110);
  waiting.image = 8;
  expect(forecast.waitMs("text")).toBe((40 * 10 + 8 * 100) / 2);
  waiting.image = 0;
  expect(forecast.waitMs("text")).toBe(400);
});
