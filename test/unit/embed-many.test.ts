/** Many inputs of one request: order, failures, memory, and what they mean for everybody else. */
import { describe, expect, test } from "bun:test";
import type { Demand, EmbedJob, ImageBackend, TextBackend } from "../../src/backends/backend.ts";
import { createBatcher } from "../../src/backends/batcher.ts";
import { createEmbedder } from "../../src/core/embed.ts";
import { createManyEmbedder, type ManyInput } from "../../src/core/embed-many.ts";
import { createTextEmbedder } from "../../src/core/embed-text.ts";
import { Problem } from "../../src/errors.ts";
import { limits } from "../../src/limits.ts";
import { createLog } from "../../src/log.ts";
import type { Acquire } from "../../src/sources/source.ts";
import { createDownloads } from "../../src/store/downloads.ts";
import {
  answerMarks,
  anyModel,
  createFakeWorker,
  imageOf,
  marksOf,
} from "../support/fake-worker.ts";

const timings = { decode: 1 };

/** What a byte stands for becomes the vector; `fails` makes some of them fail. */
function imageModel(options: {
  readonly id?: string;
  readonly embed?: (job: EmbedJob) => Promise<Float32Array | Problem>;
  readonly admission?: (demand: Demand) => Problem | undefined;
}): ImageBackend {
  const { id = "eye", embed = async () => new Float32Array([3, 4]), admission } = options;
  return {
    id,
    exactId: `${id}@1`,
    dimensions: 2,
    state: () => ({ kind: "ready" }),
    fingerprint: () => undefined,
    admission: admission ?? (() => undefined),
    embed: async (job) => {
      const made = await embed(job);
      return {
        result: made instanceof Problem ? made : { model: `${id}@1`, vector: made },
        timings,
      };
    },
  };
}

const textModel: TextBackend = {
  id: "pen",
  exactId: "pen@1",
  dimensions: 2,
  state: () => ({ kind: "ready" }),
  admission: () => undefined,
  embedText: async ({ text }) => ({
    model: "pen@1",
    vector: new Float32Array([text.length, 0]),
    truncated: false,
    tokens: text.length + 2,
    timings,
  }),
};

const fetched: Acquire = async (source) => {
  if (source.kind === "memory") return source;
  return { kind: "memory", bytes: new Uint8Array(100) };
};

function setUp(backends: readonly ImageBackend[], acquire: Acquire = fetched) {
  const requestTimeoutMs = 60_000;
  const many = createManyEmbedder({
    embedder: createEmbedder({
      backends,
      acquire,
      downloads: createDownloads({ directory: "nowhere", minFreeBytes: 0 }),
      keepDownloads: false,
      requestTimeoutMs,
    }),
    textEmbedder: createTextEmbedder({
      backends: [textModel],
      imageBackends: backends,
      requestTimeoutMs,
    }),
    textBackends: [textModel],
    requestTimeoutMs,
  });
  const terms = { model: "eye", normalize: false, includesFailures: false };
  const embed = (
    inputs: readonly ManyInput[],
    given: Partial<typeof terms> = {},
    memory?: Memory,
  ) => many.embed({ inputs, ...terms, ...given, memory }, new AbortController().signal, {});
  return { embed, many };
}

interface Memory {
  hold(bytes: number): void;
  giveBack(bytes: number): void;
}

const image = (mark: number): ManyInput => ({ kind: "image", source: imageOf(mark) });
const url = (): ManyInput => ({ kind: "image", source: { kind: "url", url: "https://x.example" } });
const broken = () => new Problem("undecodable-image", "It is broken.");
const markOf = ({ image: one }: EmbedJob) => (one.kind === "memory" ? (one.bytes[0] ?? -1) : -1);

describe("what a model does not take", () => {
  test("an image to a model of texts alone is refused, and named", async () => {
    const { embed } = setUp([imageModel({})]);
    const inputs: ManyInput[] = [{ kind: "text", text: "a" }, image(1)];
    const failed = await embed(inputs, { model: "pen" });
    expect(failed).toMatchObject({ index: 1, problem: { code: "validation-failed" } });
    expect(failed).toMatchObject({
      problem: {
        message:
          "The model pen embeds texts, but no images: send another input, or ask for another model.",
      },
    });
  });

  test("is a failure among others where failures are included", async () => {
    const { embed } = setUp([imageModel({})]);
    const inputs: ManyInput[] = [{ kind: "text", text: "abc" }, image(1)];
    const all = await embed(inputs, { model: "pen", includesFailures: true });
    expect(all).toMatchObject({ model: "pen@1", tokens: 5 });
    expect("outcomes" in all && all.outcomes[1]).toBeInstanceOf(Problem);
  });
});

describe("failures", () => {
  const model = imageModel({
    embed: async (job) => (markOf(job) === 7 ? broken() : new Float32Array([markOf(job), 0])),
  });

  test("one ends the request, with its index, and nothing more is begun", async () => {
    const begun: number[] = [];
    const counted = imageModel({
      embed: async (job) => {
        begun.push(markOf(job));
        return markOf(job) === 7 ? broken() : new Float32Array(2);
      },
    });
    const inputs = Array.from({ length: 200 }, (_, mark) => image(mark));
    const failed = await setUp([counted]).embed(inputs);
    expect(failed).toMatchObject({ index: 7, problem: { code: "undecodable-image" } });
    expect(begun.length).toBeLessThanOrEqual(2 * limits.maxImagesUnderWay);
  });

  test("all that can be embedded is, in its order, where they are included", async () => {
    const inputs = Array.from({ length: 10 }, (_, mark) => image(mark));
    const all = await setUp([model]).embed(inputs, { includesFailures: true });
    const outcomes = "outcomes" in all ? all.outcomes : [];
    expect(outcomes.map((one) => (one instanceof Problem ? one.code : one[0]))).toEqual([
      ...[0, 1, 2, 3, 4, 5, 6],
      "undecodable-image",
      ...[8, 9],
    ]);
  });

  test("a bug is thrown, and no outcome", async () => {
    const buggy = imageModel({ embed: () => Promise.reject(new TypeError("a bug")) });
    await expect(setUp([buggy]).embed([image(1)])).rejects.toThrow("a bug");
  });
});

test("the model is asked once whether it takes them all, before any is begun", async () => {
  const demands: Demand[] = [];
  const full = imageModel({
    admission: (demand) => {
      demands.push(demand);
      return new Problem("upstream-rate-limited", "Used up.", { retryAfterS: 400 });
    },
    embed: () => Promise.reject(new Error("begun")),
  });
  const inputs = Array.from({ length: 256 }, (_, mark) => image(mark));
  const failed = await setUp([full]).embed(inputs, { includesFailures: true });
  expect(failed).toMatchObject({ problem: { code: "upstream-rate-limited" } });
  expect(failed).not.toHaveProperty("index");
  expect(demands.map(({ kind, inputs: count }) => [kind, count])).toEqual([["image", 256]]);
});

test("images are fetched a few at a time, and give their memory back one by one", async () => {
  let held = 0;
  let most = 0;
  const memory: Memory = {
    hold: (bytes) => {
      held += bytes;
      most = Math.max(most, held);
    },
    giveBack: (bytes) => {
      held -= bytes;
    },
  };
  const slow = imageModel({
    embed: async () => {
      await Bun.sleep(0);
      return new Float32Array(2);
    },
  });
  const inputs = Array.from({ length: 100 }, url);
  expect(await setUp([slow]).embed(inputs, {}, memory)).toHaveProperty("outcomes");
  expect(held).toBe(0);
  expect(most).toBeLessThanOrEqual(100 * limits.maxFetchedUnderWay);
});

test("256 images of one request delay 24 single ones by no more than a batch", async () => {
  const maxBatch = 8;
  const worker = createFakeWorker();
  const batcher = createBatcher({
    workers: [worker],
    decode: { maxPixels: 1, orientation: "apply" },
    maxBatch,
    maxTextBatch: maxBatch,
    hangTimeoutMs: 60_000,
    warmUpTimeoutMs: 60_000,
    pingTimeoutMs: 60_000,
    writeModelTimeoutMs: 60_000,
    log: createLog({ level: "error", format: "json", write: () => {}, now: () => new Date(0) }),
    onWorkerLost: () => {},
  });
  await batcher.warmUp(anyModel);
  const queued = imageModel({
    embed: async (job) => {
      const { outcome } = await batcher.embed(job);
      return "vector" in outcome.result ? outcome.result.vector : broken();
    },
  });
  const { embed, many } = setUp([queued]);
  const ofMany = 0;
  const request = embed(Array.from({ length: 256 }, () => image(ofMany)));
  const first = await worker.next();
  // The batch in flight is the many's own; now the others come.
  const asked = { model: "eye", normalize: false, includesFailures: false };
  const singles = Array.from({ length: 24 }, (_, index) =>
    many.embed({ ...asked, inputs: [image(index + 1)] }, new AbortController().signal, {}),
  );
  await Bun.sleep(0);
  answerMarks(first);
  const batches: number[][] = [];
  for (let left = 24; left > 0; ) {
    const held = await worker.next();
    batches.push(marksOf(held));
    left -= marksOf(held).filter((mark) => mark !== ofMany).length;
    answerMarks(held);
  }
  // Alone they would have taken three batches.
  expect(batches.length).toBeLessThanOrEqual(24 / maxBatch + 1);
  expect(batches.flat().filter((mark) => mark === ofMany).length).toBeLessThanOrEqual(maxBatch);
  await Promise.all(singles);
  // The many go on to their end.
  let isDone = false;
  const end = request.then((all) => {
    isDone = true;
    return all;
  });
  const serve = async () => {
    while (!isDone) answerMarks(await Promise.race([worker.next(), end.then(() => first)]));
  };
  await Promise.race([serve(), end]);
  const all = await end;
  expect("outcomes" in all && all.outcomes).toHaveLength(256);
});
