/** CLIP's way from its files into the workers, and what it says of itself meanwhile. */
import { expect, test } from "bun:test";
import { writeFile } from "node:fs/promises";
import { join } from "node:path";
import { createBatcher } from "../../src/backends/batcher.ts";
import { type ClipOptions, createClip } from "../../src/backends/clip.ts";
import { createWorker, type Worker } from "../../src/backends/pool.ts";
import type { ClipModelFile } from "../../src/backends/protocol.ts";
import { Problem } from "../../src/errors.ts";
import { createLog } from "../../src/log.ts";
import { createSyntheticSupply, type WeightsSupply } from "../../src/models/weights-supply.ts";
import { workerFiles } from "../../src/native/worker-files.ts";
import { until } from "../support/client.ts";
import { createFakeClock } from "../support/fake-clock.ts";
import { answerMarks, createFakeWorker, imageOf } from "../support/fake-worker.ts";
import { temporaryFolder, tinyClip } from "../support/tiny-clip.ts";

/** The backend over one worker, and what it logs. */
function setUp(worker: Worker, options: Partial<ClipOptions> = {}) {
  const lines: string[] = [];
  const batcher = createBatcher({
    workers: [worker],
    decode: { maxPixels: 1, orientation: "apply" },
    maxBatch: 8,
    maxTextBatch: 8,
    hangTimeoutMs: 30_000,
    warmUpTimeoutMs: 30_000,
    writeModelTimeoutMs: 60_000,
    pingTimeoutMs: 60_000,
    log: { warn: () => {} },
    onWorkerLost: () => {},
  });
  const clip = createClip({
    id: "clip",
    dimensions: 7,
    input: { side: 5, mean: [0, 0, 0], std: [1, 1, 1] },
    weights: createSyntheticSupply("models", "clip", tinyClip),
    threadsPerWorker: 3,
    batcher,
    clock: createFakeClock("skip"),
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

const now = { kind: "image", inputs: 1, deadline: Number.POSITIVE_INFINITY } as const;
const terms = { keepsTrying: true, signal: new AbortController().signal };

const silent = async () =>
  ({ kind: "failed", sentence: "the hub is silent", mayPass: false }) as const;

/** Weights that are at the path that `find` gives, or nowhere, and can be downloaded. */
function weightsAt(
  folder: string,
  find: () => string | undefined,
  { bytes = 1000, pull = silent }: Partial<NonNullable<WeightsSupply["download"]>> = {},
): WeightsSupply {
  const facts = { bytes, sha256: "0".repeat(64) };
  return {
    exactId: "clip",
    textId: "clip",
    isSynthetic: false,
    download: { bytes, pull },
    mend: 'Get them with "imagesvc models pull clip"',
    find: async () => ({
      folder,
      from: { kind: "weights", path: find(), architecture: tinyClip, ...facts },
    }),
    findFault: async () => undefined,
  };
}

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

test("once the workers are warm it is ready, and refuses nothing", async () => {
  const models: (ClipModelFile | undefined)[] = [];
  const worker = createFakeWorker({
    onWarmUp: async (model) => {
      models.push(model);
    },
  });
  const { clip, lines } = setUp(worker);
  await clip.load(terms);
  expect(clip.state()).toEqual({ kind: "ready" });
  expect(clip.admission(now)).toBeUndefined();
  expect(models).toEqual([
    {
      imageTower: "image.onnx",
      dimensions: 7,
      side: 5,
      mean: [0, 0, 0],
      std: [1, 1, 1],
      threads: 3,
    },
  ]);
  expect(lines.map((line) => JSON.parse(line).level)).toEqual(["warn", "info"]);
});

test("while a worker warms up it is still loading", async () => {
  const warm = Promise.withResolvers<void>();
  const worker = createFakeWorker({ onWarmUp: () => warm.promise });
  const { clip } = setUp(worker);
  const loaded = clip.load(terms);
  await until(() => worker.tasks.length === 2);
  expect(clip.state().kind).toBe("loading");
  warm.resolve();
  await loaded;
  expect(clip.state().kind).toBe("ready");
});

test("the exact id is that of its weights", () => {
  const published = weightsAt("models", () => "model.safetensors");
  expect(setUp(createFakeWorker()).clip.exactId).toBe("clip@synthetic");
  expect(setUp(createFakeWorker(), { weights: published }).clip.exactId).toBe("clip");
});

test("an outcome names the exact model, the stages' times, and gives the vector", async () => {
  const worker = createFakeWorker();
  const { clip } = setUp(worker);
  await clip.load(terms);
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
  await clip.load(terms);
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
  await clip.load(terms);
  const state = clip.state();
  expect(state.kind).toBe("unavailable");
  expect(JSON.stringify(state)).not.toContain("secret");
  expect(clip.admission(now)?.retryAfterS).toBeUndefined();
  const { level, error } = JSON.parse(lines.at(-1) ?? "");
  expect(level).toBe("error");
  expect(error).toContain("/secret/path is broken");
});

test("a model that cannot be used is named, and not served", async () => {
  const problem = new Problem("model-unavailable", "The model cannot be used: it is another.");
  const { clip } = setUp(createFakeWorker({ onWarmUp: () => Promise.reject(problem) }));
  await clip.load(terms);
  expect(clip.state()).toEqual({ kind: "unavailable", why: problem.message });
});

test("a stop while it loads is no failure, and says nothing", async () => {
  const writing = Promise.withResolvers<{ imageTower: string; textTower: string }>();
  const worker = createFakeWorker({ onWriteModel: () => writing.promise });
  const { batcher, clip, lines } = setUp(worker);
  const loaded = clip.load(terms);
  await until(() => worker.tasks.length === 1);
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
  const { batcher, clip, lines } = setUp(createWorker(workerFiles), {
    weights: weightsAt(join(folder.path, "prepared/clip"), () =>
      written === undefined ? undefined : path,
    ),
  });
  await clip.load(terms);
  await batcher.close();
  return { state: clip.state(), problem: clip.admission(now), lines, folder: folder.path };
}

test.each([
  ["missing", undefined, "The weights could not be downloaded: the hub is silent."],
  ["of the wrong size", 999, "model.safetensors has 999 bytes instead of 1000: copy it again."],
  ["of other bytes", 1000, "model.safetensors is not the file that it should be: copy it again."],
])(
  "weights that are %s make it unavailable, in a sentence that says the mend",
  async (...given) => {
    const [, written, sentence] = given;
    const { state, problem, lines, folder } = await loadPublished(written);
    expect(state.kind).toBe("unavailable");
    expect(problem).toMatchObject({ code: "model-unavailable" });
    expect(problem?.message).toStartWith(sentence);
    expect(problem?.message).toContain("imagesvc models pull clip");
    expect(problem?.message).toContain("CLIP_WEIGHTS=synthetic");
    expect(problem?.message).not.toContain(folder);
    expect(lines.map((line) => JSON.parse(line).level).at(-1)).toBe("warn");
  },
);

/** A model that is not written until its weights have come. */
function setUpDownload(
  pull: NonNullable<WeightsSupply["download"]>["pull"],
  clock = createFakeClock("skip"),
) {
  let path: string | undefined;
  const worker = createFakeWorker({
    onWriteModel: async () =>
      path === undefined
        ? { unavailable: "The weights are not on this host." }
        : { imageTower: "image.onnx", textTower: "text.onnx" },
  });
  const weights = weightsAt("models", () => path, {
    bytes: 600e6,
    pull: async (pullTerms) => {
      const failure = await pull(pullTerms);
      if (failure === undefined) path = "model.safetensors";
      return failure;
    },
  });
  return { ...setUp(worker, { weights, clock }), worker, clock };
}

test("missing weights are downloaded, and meanwhile requests hear how far it is and when to come back", async () => {
  const heard: [string, number | undefined][] = [];
  const { clip, worker, clock } = setUpDownload(async ({ onProgress }) => {
    for (const receivedBytes of [0, 60e6, 120e6]) {
      onProgress({ receivedBytes, totalBytes: 600e6 });
      const problem = clip.admission(now);
      heard.push([problem?.message ?? "", problem?.retryAfterS]);
      await clock.advance(10_000);
    }
    return undefined;
  });
  await clip.load(terms);
  expect(heard).toEqual([
    ["The weights are being downloaded: 0 % of 600 MB.", 5],
    ["The weights are being downloaded: 10 % of 600 MB.", 90],
    ["The weights are being downloaded: 20 % of 600 MB.", 80],
  ]);
  expect(clip.state()).toEqual({ kind: "ready" });
  // Before the download every worker was made ready to decode for the other model.
  expect(worker.tasks.map(({ kind }) => kind)).toEqual([
    "write-model",
    "warm-up",
    "write-model",
    "warm-up",
  ]);
});

const failure = { kind: "failed", sentence: "the hub answers 503", mayPass: true } as const;

test("while a hub is tried again, requests hear why, that it is, and when to come back", async () => {
  const clock = createFakeClock("wait");
  const stopping = new AbortController();
  const heard: unknown[] = [];
  const { clip, lines } = setUpDownload(async ({ onSetback }) => {
    onSetback?.({ reason: "the hub answers 503", waitMs: 4000 });
    const { message, retryAfterS } = clip.admission(now) ?? {};
    heard.push([message, retryAfterS]);
    return failure;
  }, clock);
  const loaded = clip.load({ keepsTrying: true, signal: stopping.signal });
  await until(() => clip.state().kind === "unavailable");
  expect(heard).toEqual([
    [
      "The weights could not be downloaded yet: the hub answers 503. The service tries it again.",
      4,
    ],
  ]);
  const again = lines.map((line) => JSON.parse(line)).filter(({ in_s }) => in_s !== undefined);
  expect(again).toMatchObject([
    { message: "the download is tried again", why: "the hub answers 503", in_s: 4 },
  ]);
  expect(clip.admission(now)).toMatchObject({
    retryAfterS: 15,
    message: expect.stringMatching(
      /^The weights could not be downloaded: the hub answers 503\. The service tries it again now and then\. Get them /,
    ),
  });
  await clock.advance(10_400);
  expect(clip.state()).toMatchObject({ kind: "unavailable", retryAfterS: 5 });
  await clock.advance(5000);
  await until(() => heard.length === 2);
  stopping.abort();
  await loaded;
});

test("a failure that stays has no time to come back", async () => {
  const { clip } = setUpDownload(async () => ({ ...failure, mayPass: false }));
  await clip.load(terms);
  expect(clip.admission(now)?.retryAfterS).toBeUndefined();
  expect(clip.state()).not.toHaveProperty("retryAfterS");
  expect(clip.admission(now)?.message).not.toContain("again now and then");
});

test("a text tower that cannot be loaded shows in the state, until a text is embedded again", async () => {
  const worker = createFakeWorker();
  const { clip, lines } = setUp(worker);
  await clip.load(terms);
  const { signal, deadline } = embedJob(0);
  const problem = { code: "model-unavailable", detail: "It cannot be loaded." } as const;
  for (const _again of [1, 2]) {
    const refused = clip.embedText({ text: "a", signal, deadline });
    (await worker.next()).answer({ problem });
    await expect(refused).rejects.toThrow("It cannot be loaded.");
    expect(clip.state()).toEqual({
      kind: "ready",
      why: "It serves images, but no texts. It cannot be loaded.",
    });
  }
  expect(lines.filter((line) => line.includes("texts cannot be embedded"))).toHaveLength(1);
  const embedded = clip.embedText({ text: "a", signal, deadline });
  const vector = new Float32Array(7);
  (await worker.next()).answer([{ vector, truncated: false, tokens: 3, inferMs: 1 }]);
  await embedded;
  expect(clip.state()).toEqual({ kind: "ready" });
});

test("a download that fails is tried again, after longer and longer", async () => {
  let tries = 0;
  const { clip, clock } = setUpDownload(async () => {
    tries += 1;
    return tries < 4 ? failure : undefined;
  });
  await clip.load(terms);
  expect(clip.state()).toEqual({ kind: "ready" });
  expect(clock.slept).toEqual([15_000, 30_000, 60_000]);
});

/** A model that finds no room on the disk so many times. */
function setUpFullDisk(times: number) {
  const clock = createFakeClock("skip");
  const heard: (string | undefined)[] = [];
  const worker = createFakeWorker({
    onWriteModel: async () => {
      heard.push(clip.admission(now)?.message);
      return heard.length <= times
        ? { unavailable: "The disk is full: free space.", mayPass: true }
        : { imageTower: "image.onnx", textTower: "text.onnx" };
    },
  });
  const { clip, lines } = setUp(worker, { clock });
  return { clip, clock, heard, lines };
}

test("a disk that is full is tried again, after longer and longer, and meanwhile requests hear why", async () => {
  const { clip, clock, heard, lines } = setUpFullDisk(3);
  await clip.load(terms);
  expect(clip.state()).toEqual({ kind: "ready" });
  expect(clock.slept).toEqual([15_000, 30_000, 60_000]);
  const why = "The disk is full: free space. The service tries it again now and then.";
  expect(heard.slice(1)).toEqual([why, why, why]);
  expect(lines.filter((line) => line.includes(why)).map((line) => JSON.parse(line).level)).toEqual([
    "warn",
    "warn",
    "warn",
  ]);
});

test("a command does not wait until a disk has room", async () => {
  const { clip, clock } = setUpFullDisk(1);
  await clip.load({ ...terms, keepsTrying: false });
  expect(clip.state()).toEqual({ kind: "unavailable", why: "The disk is full: free space." });
  expect(clock.slept).toEqual([]);
});

test("what is wrong with a file in the weights' place is told before why none was downloaded", async () => {
  const weights: WeightsSupply = {
    ...weightsAt("models", () => undefined),
    findFault: async () => "model.safetensors is short: copy it again.",
  };
  const why = async (supply: WeightsSupply) => {
    const onWriteModel = async () => ({ unavailable: "There are none." });
    const { clip } = setUp(createFakeWorker({ onWriteModel }), { weights: supply });
    await clip.load(terms);
    return clip.admission(now)?.message;
  };
  expect(await why(weights)).toStartWith(
    "model.safetensors is short: copy it again. The weights could not be downloaded: the hub is silent. Get them",
  );
  expect(await why({ ...weights, download: undefined })).toStartWith(
    "model.safetensors is short: copy it again. Get them",
  );
});

test("a command does not wait for a hub to come back", async () => {
  const { clip, clock } = setUpDownload(async () => failure);
  await clip.load({ ...terms, keepsTrying: false });
  expect(clip.state().kind).toBe("unavailable");
  expect(clock.slept).toEqual([]);
});

test("a stop ends a download, and is no failure", async () => {
  const stopping = new AbortController();
  const { clip, lines } = setUpDownload(async ({ signal }) => {
    stopping.abort();
    signal.throwIfAborted();
    return undefined;
  });
  await clip.load({ keepsTrying: true, signal: stopping.signal });
  expect(clip.state().kind).toBe("loading");
  expect(lines.filter((line) => line.includes('"level":"error"'))).toEqual([]);
});
