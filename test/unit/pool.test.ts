/** Real threads behind the queue: what dies, what comes back, and what crosses. */
import { expect, test } from "bun:test";
import { fileURLToPath } from "node:url";
import { createBatcher } from "../../src/backends/batcher.ts";
import { createWorker } from "../../src/backends/pool.ts";
import { until } from "../support/client.ts";
import { anyModel } from "../support/fake-worker.ts";

const scripted = {
  inference: fileURLToPath(new URL("../support/scripted-worker.ts", import.meta.url)),
};

/** Real threads that do what their images say. */
async function startScripted({ count = 1, maxBatch = 8 } = {}) {
  const lost: Error[] = [];
  const warnings: string[] = [];
  const batcher = createBatcher({
    workers: Array.from({ length: count }, () => createWorker(scripted)),
    decode: { maxPixels: 1, orientation: "apply" },
    maxBatch,
    maxTextBatch: maxBatch,
    hangTimeoutMs: 20_000,
    warmUpTimeoutMs: 20_000,
    writeModelTimeoutMs: 60_000,
    pingTimeoutMs: 60_000,
    log: { warn: (message) => warnings.push(message) },
    onWorkerLost: (cause) => lost.push(cause),
  });
  await batcher.warmUp(anyModel);
  const send = (bytes: Uint8Array<ArrayBuffer>) =>
    batcher.embed({
      image: { kind: "memory", bytes },
      signal: new AbortController().signal,
      deadline: performance.now() + 20_000,
    });
  return {
    lost,
    warnings,
    send,
    /** The number of the thread that embedded, or the problem's code. */
    embed: async (script: string): Promise<number | string | undefined> => {
      const { result } = (await send(new TextEncoder().encode(script))).outcome;
      return "problem" in result ? result.problem.code : result.vector[0];
    },
    [Symbol.asyncDispose]: batcher.close,
  };
}

/**
 * What a promise is rejected with. `expect().rejects` would not do here: it turns the event loop inside
 * the callback that brought the last answer, and no further message of that thread comes through.
 */
async function failureOf(work: Promise<unknown>): Promise<unknown> {
  const [settled] = await Promise.allSettled([work]);
  return settled.status === "rejected" ? settled.reason : undefined;
}

test("bytes move to the worker and come back, and are never copied on the way", async () => {
  await using pool = await startScripted();
  const bytes = new TextEncoder().encode("some picture");
  const answer = pool.send(bytes);
  expect(bytes.buffer.detached).toBe(true);
  const { bytes: back } = (await answer).outcome;
  expect(new TextDecoder().decode(back)).toBe("some picture");
});

test("one bad image of a batch keeps its bytes, and its neighbours their vectors", async () => {
  await using pool = await startScripted();
  const scripts = ["first", "good", "undecodable", "good"];
  const [first, ...rest] = await Promise.all(scripts.map(pool.embed));
  expect(rest).toEqual([first, "undecodable-image", first]);
  const { outcome } = await pool.send(new TextEncoder().encode("undecodable"));
  expect(outcome.bytes?.length).toBe("undecodable".length);
});

test("a worker that throws fails its task, and the same thread serves on", async () => {
  await using pool = await startScripted();
  const thread = await pool.embed("before");
  expect(await failureOf(pool.embed("throw"))).toHaveProperty("message", "thrown on request");
  expect(await pool.embed("after")).toBe(thread);
  expect(pool.lost).toEqual([]);
});

for (const death of ["exit", "crash"]) {
  test(`a thread that dies (${death}) fails its jobs only; a warm one takes its place`, async () => {
    await using pool = await startScripted({ maxBatch: 1 });
    const thread = await pool.embed("before");
    const [dead, waiting] = await Promise.allSettled([pool.embed(death), pool.embed("waits")]);
    expect(dead.status).toBe("rejected");
    expect(waiting.status).toBe("fulfilled");
    expect(await pool.embed("after")).not.toBe(thread);
    expect(pool.lost).toEqual([]);
  });
}

test("a thread that dies while it is idle costs nobody anything", async () => {
  await using pool = await startScripted();
  const thread = await pool.embed("exit-idle");
  await until(() => pool.warnings.length > 0);
  expect(await pool.embed("picture")).not.toBe(thread);
  expect(pool.lost).toEqual([]);
});

test("one thread's death does not touch another's work", async () => {
  await using pool = await startScripted({ count: 2, maxBatch: 1 });
  const [dead, alive] = await Promise.allSettled([pool.embed("exit"), pool.embed("picture")]);
  expect([dead.status, alive.status]).toEqual(["rejected", "fulfilled"]);
  const serve = () => Promise.all([pool.embed("a"), pool.embed("b")]);
  await until(async () => new Set(await serve()).size === 2);
});

test("threads that die again and again are replaced again and again", async () => {
  await using pool = await startScripted();
  for (const death of ["exit", "crash", "exit"]) {
    expect(await failureOf(pool.embed(death))).toBeInstanceOf(Error);
    expect(await pool.embed("picture")).toBeNumber();
  }
  expect(pool.lost).toEqual([]);
});

test("a warm-up that fails in the thread is told, and the thread can be asked again", async () => {
  const worker = createWorker(scripted);
  const broken = { kind: "warm-up", model: { ...anyModel, imageTower: "broken" } } as const;
  expect(await failureOf(worker.run(broken))).toHaveProperty("message", "the model is broken");
  expect(await worker.run({ kind: "warm-up", model: anyModel })).toEqual({ warmUpMs: 0 });
  await worker.close();
});

test("a worker whose code cannot be loaded fails its warm-up", async () => {
  const batcher = createBatcher({
    workers: [createWorker({ inference: `${scripted.inference}.missing` })],
    decode: { maxPixels: 1, orientation: "apply" },
    maxBatch: 8,
    maxTextBatch: 8,
    hangTimeoutMs: 1_000,
    warmUpTimeoutMs: 1_000,
    writeModelTimeoutMs: 60_000,
    pingTimeoutMs: 60_000,
    log: { warn: () => {} },
    onWorkerLost: () => {},
  });
  expect(await failureOf(batcher.warmUp(anyModel))).toBeInstanceOf(Error);
  await batcher.close();
});

test("closing lets the task under way finish", async () => {
  const pool = await startScripted();
  const answer = pool.embed("last");
  await pool[Symbol.asyncDispose]();
  expect(await answer).toBeNumber();
  expect(await failureOf(pool.embed("late"))).toHaveProperty("code", "shutting-down");
});
