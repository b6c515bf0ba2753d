/** Texts of many clients at once, with a worker whose answers the test holds. */
import { expect, test } from "bun:test";
import { tmpdir } from "node:os";
import type { TextBackend } from "../../src/backends/backend.ts";
import { createBatcher } from "../../src/backends/batcher.ts";
import type { Task } from "../../src/backends/protocol.ts";
import { createAdmission } from "../../src/core/admission.ts";
import { createTextEmbedder } from "../../src/core/embed-text.ts";
import { Problem } from "../../src/errors.ts";
import { createApp } from "../../src/http/app.ts";
import type { Calls } from "../../src/http/call.ts";
import { createReaders } from "../../src/http/readers.ts";
import { startHttpServer } from "../../src/http/server.ts";
import { limits } from "../../src/limits.ts";
import { createLog } from "../../src/log.ts";
import { createDownloads } from "../../src/store/downloads.ts";
import { parseJsonBody } from "../../src/text/json-body.ts";
import { postJson, until } from "../support/client.ts";
import { anyModel, createFakeWorker } from "../support/fake-worker.ts";

test("24 clients' short texts share inferences, and each client gets its own vector", async () => {
  const worker = createFakeWorker();
  await using service = await startOver(worker);
  const lengths = Array.from({ length: 24 }, (_, index) => index + 1);
  const answers = lengths.map((length) =>
    postJson(service, "/embed-text", { text: "x".repeat(length) }),
  );
  const sizes: number[] = [];
  // While the worker is at the first text, all others come to wait.
  const first = await worker.next();
  await until(() => service.waiting() === 23);
  for (let held = first; ; held = await worker.next()) {
    const texts = textsOf(held.task);
    sizes.push(texts.length);
    held.answer(
      texts.map((text) => ({
        vector: new Float32Array([text.length]),
        truncated: false,
        tokens: 3,
        inferMs: 1,
      })),
    );
    if (sizes.length === 3) break;
  }
  expect(sizes).toEqual([1, 16, 7]);
  const vectors = await Promise.all(
    answers.map(async (answer) => JSON.parse(await (await answer).text()).vector),
  );
  expect(vectors).toEqual(lengths.map((length) => [length]));
});

function textsOf(task: Task): readonly string[] {
  return task.kind === "embed-texts" ? task.texts : [];
}

/** A service over one worker, with a model of texts alone. */
async function startOver(worker: ReturnType<typeof createFakeWorker>) {
  const [write, now] = [() => {}, () => new Date(0)];
  const log = createLog({ level: "error", format: "json", write, now });
  const batcher = createBatcher({
    workers: [worker],
    decode: { maxPixels: 1, orientation: "apply" },
    maxBatch: limits.maxBatch,
    maxTextBatch: limits.maxTextBatch,
    hangTimeoutMs: 60_000,
    warmUpTimeoutMs: 60_000,
    pingTimeoutMs: 60_000,
    writeModelTimeoutMs: 60_000,
    log,
    onWorkerLost: () => {},
  });
  await batcher.warmUp(anyModel);
  const backend: TextBackend = {
    id: "m",
    exactId: "m",
    dimensions: 1,
    state: () => ({ kind: "ready" }),
    admission: () => undefined,
    embedText: async (job) => {
      const model = { textTower: "text.onnx", skipsPadding: true, dimensions: 1, threads: 1 };
      const { outcome } = await batcher.embedText({ ...job, model });
      return { ...outcome, model: "m", timings: {} };
    },
  };
  const refuse = async () => {
    throw new Error("no image here");
  };
  const calls: Calls = new WeakMap();
  const lifecycle = { isDraining: false, isHandingOver: false };
  const readers = createReaders({
    calls,
    admission: createAdmission({
      maxArriving: 64,
      maxHeldBytes: 1_000_000,
      limit: 64,
      expectedWaitMs: batcher.expectedWaitMs,
      maxWaitMs: 60_000,
      now: () => performance.now(),
    }),
    trustedProxies: [],
    downloads: createDownloads({ directory: tmpdir(), minFreeBytes: 0 }),
    jsonParser: { parse: async ({ pieces, rules }) => parseJsonBody(pieces, rules) },
    maxBodyBytes: 1_000_000,
    maxImageBytes: 1_000_000,
  });
  const app = createApp({
    ...{ calls, readers, lifecycle },
    embedder: { backends: [], refusal: () => undefined, embed: refuse },
    textEmbedder: createTextEmbedder({
      backends: [backend],
      imageBackends: [],
      requestTimeoutMs: 60_000,
    }),
    comparer: { refusal: () => undefined, compare: refuse },
    eachEmbedder: { embed: refuse },
    manyEmbedder: { find: () => new Problem("unknown-model", "None."), embed: refuse },
    localModel: "m",
    corsOrigins: [],
    apiKeys: () => undefined,
    lookUp: () => new Problem("not-found", "Nothing."),
    hostGuard: undefined,
  });
  const server = startHttpServer({
    app,
    calls,
    lifecycle,
    hostname: "127.0.0.1",
    port: 0,
    log,
    onServed: () => {},
  });
  return {
    url: server.url,
    waiting: () => batcher.waiting(),
    [Symbol.asyncDispose]: () => server.close(),
  };
}
