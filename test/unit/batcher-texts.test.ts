/** Texts in the queue, with workers whose answers the test holds. */
import { expect, test } from "bun:test";
import { createBatcher } from "../../src/backends/batcher.ts";
import type { ClipTextModelFile } from "../../src/backends/protocol.ts";
import {
  answerMarks,
  anyModel,
  createFakeWorker,
  type FakeWorker,
  type HeldTask,
  imageOf,
} from "../support/fake-worker.ts";
import { patientOptions } from "../support/patient-batcher.ts";

const model: ClipTextModelFile = {
  textTower: "text.onnx",
  skipsPadding: true,
  dimensions: 1,
  threads: 1,
};

/** A queue of batches of four in front of warm workers. */
async function setUp(workers: readonly FakeWorker[]) {
  const batcher = createBatcher({
    ...patientOptions,
    workers,
    maxBatch: 4,
    maxTextBatch: 4,
  });
  await batcher.warmUp(anyModel);
  const terms = (signal = new AbortController().signal) => ({
    signal,
    deadline: performance.now() + 60_000,
  });
  return {
    ...batcher,
    image: (mark: number) => batcher.embed({ ...terms(), image: imageOf(mark) }),
    /** Embeds a text; gives the length that its vector says. */
    text: async (text: string, signal?: AbortSignal) => {
      const { outcome } = await batcher.embedText({ ...terms(signal), text, model });
      return outcome.vector[0];
    },
  };
}

function textsOf({ task }: HeldTask): readonly string[] {
  return task.kind === "embed-texts" ? task.texts : [];
}

/** Answers a held `embed-texts`: each text's vector is its length. */
function answerLengths(held: HeldTask, inferMs = 1): void {
  held.answer(
    textsOf(held).map((text) => ({
      vector: new Float32Array([text.length]),
      truncated: false,
      tokens: 3,
      inferMs,
    })),
  );
}

test("texts that wait share an inference, and each gets its own vector", async () => {
  const worker = createFakeWorker();
  const { text } = await setUp([worker]);
  const vectors = ["a", "bb", "ccc", "dddd", "eeeee", "ffffff"].map((one) => text(one));
  const batches = [];
  for (let batch = 0; batch < 3; batch += 1) {
    const held = await worker.next();
    batches.push(textsOf(held));
    answerLengths(held);
  }
  expect(batches).toEqual([["a"], ["bb", "ccc", "dddd", "eeeee"], ["ffffff"]]);
  expect(await Promise.all(vectors)).toEqual([1, 2, 3, 4, 5, 6]);
});

test("texts and images take turns, in batches of their own", async () => {
  const worker = createFakeWorker();
  const { image, text } = await setUp([worker]);
  const all = [image(1), text("a"), image(2), text("b")];
  const kinds = [];
  for (let batch = 0; batch < 3; batch += 1) {
    const held = await worker.next();
    kinds.push(held.task.kind);
    if (held.task.kind === "embed-texts") answerLengths(held);
    else answerMarks(held);
  }
  expect(kinds).toEqual(["embed-images", "embed-texts", "embed-images"]);
  await Promise.all(all);
});

test("all texts go to one worker, so that the text tower is loaded once", async () => {
  const [first, second] = [createFakeWorker(), createFakeWorker()];
  const { text } = await setUp([first, second]);
  const vectors = [text("a"), text("b")];
  answerLengths(await first.next());
  answerLengths(await first.next());
  await Promise.all(vectors);
  expect(second.tasks.map(({ kind }) => kind)).toEqual(["warm-up"]);
});

test("a text whose caller leaves is not embedded", async () => {
  const worker = createFakeWorker();
  const { text } = await setUp([worker]);
  const caller = new AbortController();
  const first = text("first");
  const dropped = text("dropped", caller.signal);
  caller.abort(new Error("left"));
  await expect(dropped).rejects.toThrow("left");
  answerLengths(await worker.next());
  await first;
  expect(worker.tasks.filter(({ kind }) => kind === "embed-texts")).toHaveLength(1);
});

test("a caller's many texts delay another's single by no more than the batch in flight", async () => {
  const worker = createFakeWorker();
  const { text } = await setUp([worker]);
  const [many, single] = [new AbortController().signal, new AbortController().signal];
  const all = ["a1", "a2", "a3", "a4", "a5", "a6", "a7"].map((one) => text(one, many));
  all.push(text("b1", single));
  const batches = [];
  for (let batch = 0; batch < 3; batch += 1) {
    const held = await worker.next();
    batches.push(textsOf(held));
    answerLengths(held);
  }
  expect(batches).toEqual([["a1"], ["b1", "a2", "a3", "a4"], ["a5", "a6", "a7"]]);
  await Promise.all(all);
});

test("more callers than a batch holds are served in turn, and who comes next is not passed again", async () => {
  const worker = createFakeWorker();
  const { text } = await setUp([worker]);
  const send = (caller: string, count: number) => {
    const { signal } = new AbortController();
    return Array.from({ length: count }, (_, index) => text(`${caller}${index + 1}`, signal));
  };
  const all = ["a", "b", "c", "d", "e"].flatMap((caller) => send(caller, 3));
  const batches = [];
  for (let batch = 0; batch < 5; batch += 1) {
    const held = await worker.next();
    if (batch === 1) all.push(...send("f", 1));
    batches.push(textsOf(held).join(" "));
    answerLengths(held);
  }
  expect(batches).toEqual(["a1", "b1 c1 d1 e1", "f1 a2 b2 c2", "d2 e2 a3 b3", "c3 d3 e3"]);
  await Promise.all(all);
});

test("on the only worker images and texts take turns, however many of either wait", async () => {
  const worker = createFakeWorker();
  const { image, text } = await setUp([worker]);
  const all: Promise<unknown>[] = Array.from({ length: 9 }, () => text("a"));
  all.push(...Array.from({ length: 5 }, () => image(1)));
  const kinds = [];
  for (let batch = 0; batch < 5; batch += 1) {
    const held = await worker.next();
    kinds.push(held.task.kind);
    if (held.task.kind === "embed-texts") answerLengths(held);
    else answerMarks(held);
  }
  const [images, texts] = ["embed-images", "embed-texts"];
  expect(kinds).toEqual([texts, images, texts, images, texts]);
  await Promise.all(all);
});

test("texts that wait for their worker delay no image where another worker is idle", async () => {
  const [first, second] = [createFakeWorker(), createFakeWorker()];
  const { expectedWaitMs, image, text } = await setUp([first, second]);
  const slow = image(1);
  const held = await first.next();
  await Bun.sleep(20);
  answerMarks(held);
  await slow;
  await Bun.sleep(1);
  const texts = Array.from({ length: 9 }, () => text("a"));
  expect(expectedWaitMs("image")).toBe(0);
  for (let batch = 0; batch < 3; batch += 1) answerLengths(await first.next());
  await Promise.all(texts);
});

/** Two workers, one of which has just answered four texts while the other is still at one. */
async function setUpReturn() {
  const workers = [createFakeWorker(), createFakeWorker()] as const;
  const [worker, busy] = workers;
  const { embedText } = await setUp(workers);
  const text = (characters: string) => {
    const terms = { signal: new AbortController().signal, deadline: performance.now() + 60_000 };
    return embedText({ ...terms, text: characters, model: { ...model, packedTextTower: "p" } });
  };
  const first = text("a");
  const other = text("b");
  const four = ["c", "c", "c", "c"].map(text);
  answerLengths(await worker.next());
  await first;
  const held = await busy.next();
  answerLengths(await worker.next());
  await Promise.all(four);
  const answerOther = async () => {
    answerLengths(held);
    await other;
    await Bun.sleep(0);
  };
  return { worker, busy, text, answerOther };
}

test("those who just had answers share an inference with their next texts, where others are at work", async () => {
  const { worker, text, answerOther } = await setUpReturn();
  const next = ["d", "ee"].map(text);
  const held = await worker.next();
  expect(textsOf(held)).toEqual(["d", "ee"]);
  answerLengths(held);
  await Promise.all([...next, answerOther()]);
});

test("where nobody is at work the first text is not left for others", async () => {
  const { worker, busy, text, answerOther } = await setUpReturn();
  await answerOther();
  const next = ["d", "ee"].map(text);
  const held = await worker.next();
  expect(textsOf(held)).toEqual(["d"]);
  answerLengths(held);
  answerLengths(await Promise.race([worker.next(), busy.next()]));
  await Promise.all(next);
});

test("texts have a rate of their own, without the time in which their tower is loaded", async () => {
  const [first, second] = [createFakeWorker(), createFakeWorker()];
  const { expectedWaitMs, text } = await setUp([first, second]);
  const texts = Array.from({ length: 5 }, () => text("a"));
  answerLengths(await first.next(), 30);
  const held = await first.next();
  texts.push(text("b"), text("c"));
  expect(expectedWaitMs("text")).toBe(60);
  expect(expectedWaitMs("image")).toBe(0);
  answerLengths(held, 30);
  answerLengths(await first.next());
  await Promise.all(texts);
});

test("on the only worker an image waits for as many texts as there are images before it", async () => {
  const worker = createFakeWorker();
  const { expectedWaitMs, image, text } = await setUp([worker]);
  const all: Promise<unknown>[] = [text("a"), ...Array.from({ length: 4 }, () => text("a"))];
  answerLengths(await worker.next(), 10);
  const held = await worker.next();
  all.push(...Array.from({ length: 9 }, () => text("a")));
  expect(expectedWaitMs("image")).toBe(0);
  all.push(image(1), image(2));
  // Nothing was measured of images yet: 100 ms each are a guess.
  expect(expectedWaitMs("image")).toBe(2 * 100 + 20);
  answerLengths(held);
  answerMarks(await worker.next());
  for (let batch = 0; batch < 3; batch += 1) answerLengths(await worker.next());
  await Promise.all(all);
});

test("a tower that cannot be used is a Problem of every text of the batch, and the worker goes on", async () => {
  const worker = createFakeWorker();
  const { image, text } = await setUp([worker]);
  const first = text("a");
  const held = await worker.next();
  const both = Promise.allSettled([text("b"), text("c")]);
  answerLengths(held);
  await first;
  const problem = { code: "model-unavailable", detail: "It was changed.", cause: "EIO" } as const;
  (await worker.next()).answer({ problem });
  const refused = { code: "model-unavailable", message: "It was changed.", cause: "EIO" };
  expect(await both).toEqual([
    { status: "rejected", reason: expect.objectContaining(refused) },
    { status: "rejected", reason: expect.objectContaining(refused) },
  ]);
  const last = image(1);
  answerMarks(await worker.next());
  await last;
  expect(worker.tasks.filter(({ kind }) => kind === "warm-up")).toHaveLength(1);
});
