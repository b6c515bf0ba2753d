/** Texts in the queue, with workers whose answers the test holds. */
import { expect, test } from "bun:test";
import { createBatcher } from "../../src/backends/batcher.ts";
import type { ClipTextModelFile } from "../../src/backends/protocol.ts";
import { createLog } from "../../src/log.ts";
import {
  answerMarks,
  anyModel,
  createFakeWorker,
  type FakeWorker,
  type HeldTask,
  imageOf,
} from "../support/fake-worker.ts";

const model: ClipTextModelFile = { textTower: "text.onnx", dimensions: 1, threads: 1 };

/** A queue of batches of four in front of warm workers. */
async function setUp(workers: readonly FakeWorker[]) {
  const batcher = createBatcher({
    workers,
    decode: { maxPixels: 1, orientation: "apply" },
    maxBatch: 4,
    hangTimeoutMs: 60_000,
    warmUpTimeoutMs: 60_000,
    pingTimeoutMs: 60_000,
    writeModelTimeoutMs: 60_000,
    log: createLog({ level: "error", format: "json", write: () => {}, now: () => new Date(0) }),
    onWorkerLost: () => {},
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
function answerLengths(held: HeldTask): void {
  held.answer(
    textsOf(held).map((text) => ({
      vector: new Float32Array([text.length]),
      truncated: false,
      inferMs: 1,
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

test("texts and images take turns by their age, in batches of their own", async () => {
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
