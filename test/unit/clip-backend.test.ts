/** CLIP's way from its files into the workers, and what it says of itself meanwhile. */
import { expect, test } from "bun:test";
import { writeFile } from "node:fs/promises";
import { join } from "node:path";
import { createBatcher } from "../../src/backends/batcher.ts";
import { type ClipOptions, createClip } from "../../src/backends/clip.ts";
import { startWorker, type Worker } from "../../src/backends/pool.ts";
import type { ClipModelFile } from "../../src/backends/protocol.ts";
import { Problem } from "../../src/errors.ts";
import { createLog } from "../../src/log.ts";
import { workerFiles } from "../../src/native/worker-files.ts";
import { until } from "../support/client.ts";
import { answerMarks, createFakeWorker, imageOf } from "../support/fake-worker.ts";
import { temporaryFolder } from "../support/tiny-clip.ts";

/** The backend over one worker, and what it logs. */
function setUp(worker: Worker, options: Partial<ClipOptions> = {}) {
  const lines: string[] = [];
  const batcher = createBatcher({
    workers: [worker],
    decode: { maxPixels: 1, orientation: "apply" },
    maxBatch: 8,
    hangTimeoutMs: 30_000,
    warmUpTimeoutMs: 30_000,
    onWorkerLost: () => {},
  });
  const clip = createClip({
    id: "clip",
    dimensions: 7,
    side: 5,
    weights: undefined,
    modelsDir: "models",
    threadsPerWorker: 3,
    batcher,
    log: createLog({
      level: "info",
      format: "json",
      write: (line) => lines.push(line),
      now: () => new Date(0),
    }),
    ...options,
  });
  return { batcher, clip, lines };
}

const now = { images: 1, deadline: Number.POSITIVE_INFINITY };

function embedJob(mark: number) {
  return {
    image: imageOf(mark),
    signal: new AbortController().signal,
    deadline: performance.now() + 30_000,
  };
}

test("before it is loaded it is loading, and refuses with a time to come back", () => {
  const { clip } = setUp(createFakeWorker());
  expect(clip.state().kind).toBe("loading");
  expect(clip.admission(now)).toMatchObject({ code: "model-unavailable", retryAfterS: 5 });
});

test("once every worker is warm it is ready, and refuses nothing", async () => {
  const models: (ClipModelFile | undefined)[] = [];
  const worker = createFakeWorker({
    onWarmUp: async (model) => {
      models.push(model);
    },
  });
  const { clip, lines } = setUp(worker);
  await clip.load();
  expect(clip.state()).toEqual({ kind: "ready" });
  expect(clip.admission(now)).toBeUndefined();
  expect(models).toEqual([{ imageTower: "image.onnx", dimensions: 7, side: 5, threads: 3 }]);
  expect(lines.map((line) => JSON.parse(line).level)).toEqual(["warn", "info"]);
});

test("while a worker warms up it is still loading", async () => {
  const warm = Promise.withResolvers<void>();
  const worker = createFakeWorker({ onWarmUp: () => warm.promise });
  const { clip } = setUp(worker);
  const loaded = clip.load();
  await until(() => worker.tasks.length === 2);
  expect(clip.state().kind).toBe("loading");
  warm.resolve();
  await loaded;
  expect(clip.state().kind).toBe("ready");
});

test("the exact id tells synthetic weights from published ones", () => {
  const published = { path: "model.safetensors", bytes: 1, sha256: "" };
  expect(setUp(createFakeWorker()).clip.exactId).toBe("clip@synthetic");
  expect(setUp(createFakeWorker(), { weights: published }).clip.exactId).toBe("clip");
});

test("an outcome names the exact model, the stages' times, and gives the vector", async () => {
  const worker = createFakeWorker();
  const { clip } = setUp(worker);
  await clip.load();
  const answer = clip.embed(embedJob(9));
  answerMarks(await worker.next());
  const { result, timings } = await answer;
  expect(result).toEqual({ model: "clip@synthetic", vector: new Float32Array([9]) });
  expect(timings).toMatchObject({ decode: 1, infer: 1 });
  expect(timings.queue).toBeGreaterThanOrEqual(0);
});

test("a problem of the worker is a Problem with its cause, and what is known of the bytes", async () => {
  const worker = createFakeWorker();
  const { clip } = setUp(worker);
  await clip.load();
  const answer = clip.embed(embedJob(9));
  const problem = { code: "undecodable-image", detail: "It is cut.", cause: "EOF" } as const;
  const bytes = new Uint8Array([9]);
  (await worker.next()).answer([
    { bytes, result: { problem }, timings: { decodeMs: 2, inferMs: 0 } },
  ]);
  const outcome = await answer;
  expect(outcome.bytes).toBe(bytes);
  expect(outcome.result).toBeInstanceOf(Problem);
  expect(outcome.result).toMatchObject({
    code: "undecodable-image",
    message: "It is cut.",
    cause: "EOF",
  });
});

test("a worker that fails to warm up makes it unavailable; the reason is in the log only", async () => {
  const onWarmUp = () => Promise.reject(new Error("/secret/path is broken"));
  const { clip, lines } = setUp(createFakeWorker({ onWarmUp }));
  await clip.load();
  const state = clip.state();
  expect(state.kind).toBe("unavailable");
  expect(JSON.stringify(state)).not.toContain("secret");
  expect(clip.admission(now)?.retryAfterS).toBeUndefined();
  const { level, error } = JSON.parse(lines.at(-1) ?? "");
  expect(level).toBe("error");
  expect(error).toContain("/secret/path is broken");
});

test("a stop while it loads is no failure, and says nothing", async () => {
  const writing = Promise.withResolvers<{ imageTower: string; textTower: string }>();
  const worker = createFakeWorker({ onWriteModel: () => writing.promise });
  const { batcher, clip, lines } = setUp(worker);
  const loaded = clip.load();
  const closed = batcher.close();
  writing.resolve({ imageTower: "image.onnx", textTower: "text.onnx" });
  await Promise.all([loaded, closed]);
  expect(clip.state().kind).not.toBe("ready");
  expect(lines.filter((line) => line.includes('"level":"error"'))).toEqual([]);
  expect(worker.tasks.map(({ kind }) => kind)).toEqual(["write-model"]);
});

/** Loads published weights from a file of this size with a real worker. */
async function loadPublished(written: number | undefined) {
  await using folder = await temporaryFolder();
  const path = join(folder.path, "model.safetensors");
  if (written !== undefined) await writeFile(path, new Uint8Array(written));
  const { batcher, clip, lines } = setUp(startWorker(workerFiles), {
    id: "clip-ViT-B-32",
    weights: { path, bytes: 1000, sha256: "0".repeat(64) },
    modelsDir: join(folder.path, "prepared"),
  });
  await clip.load();
  await batcher.close();
  return { state: clip.state(), problem: clip.admission(now), lines, folder: folder.path };
}

for (const [what, written] of [
  ["missing", undefined],
  ["of the wrong size", 999],
  ["of other bytes", 1000],
] as const) {
  test(`weights that are ${what} make it unavailable, in a sentence that says the mend`, async () => {
    const { state, problem, lines, folder } = await loadPublished(written);
    expect(state.kind).toBe("unavailable");
    expect(problem).toMatchObject({ code: "model-unavailable" });
    expect(problem?.message).toContain("models/clip-ViT-B-32/, as the README says");
    expect(problem?.message).toContain("CLIP_WEIGHTS=synthetic");
    expect(problem?.message).not.toContain(folder);
    expect(lines.map((line) => JSON.parse(line).level)).toEqual(["warn"]);
  });
}
