/** The use case of texts, with a model that the test makes. */
import { expect, test } from "bun:test";
import type { StageTimings, TextBackend, TextJob } from "../../src/backends/backend.ts";
import { createTextEmbedder, type EmbedTextInput } from "../../src/core/embed-text.ts";
import { Problem } from "../../src/errors.ts";

interface Setup {
  readonly admission?: Problem;
  readonly answer?: (job: TextJob) => Promise<Float32Array>;
}

/** The use case over one model whose vectors are [3, 4], cut after ten characters. */
function setUp({ admission, answer = async () => new Float32Array([3, 4]) }: Setup = {}) {
  const jobs: TextJob[] = [];
  const timings: StageTimings = {};
  const backend: TextBackend = {
    id: "clip",
    exactId: "clip@test",
    dimensions: 2,
    state: () => ({ kind: "ready" }),
    admission: () => admission,
    embedText: async (job) => {
      jobs.push(job);
      const vector = await answer(job);
      const queue = job.text.length;
      const timings = { queue, infer: 2 };
      return {
        model: "clip@test",
        vector,
        truncated: queue > 10,
        tokens: job.text.length,
        timings,
      };
    },
  };
  const imageModel = {
    ...backend,
    id: "dino",
    exactId: "dino",
    fingerprint: () => undefined,
    embed: () => Promise.reject(new Error("no image here")),
  };
  const embedder = createTextEmbedder({
    backends: [backend],
    imageBackends: [imageModel],
    requestTimeoutMs: 60_000,
  });
  const input = { texts: ["a cat"], model: "clip", normalize: false };
  const caller = new AbortController();
  const embed = (given: Partial<EmbedTextInput> = {}) =>
    embedder.embed({ ...input, ...given }, caller.signal, timings);
  return { embed, jobs, timings, caller };
}

test("texts become vectors in their order, under the exact model's name", async () => {
  const answer = async ({ text }: TextJob) => new Float32Array([text.length, 1]);
  const { embed, timings } = setUp({ answer });
  expect(await embed({ texts: ["a", "twelve chars", ""], model: "clip@test" })).toEqual({
    model: "clip@test",
    vectors: [new Float32Array([1, 1]), new Float32Array([12, 1]), new Float32Array([0, 1])],
    truncated: [false, true, false],
    tokens: [1, 12, 0],
  });
  expect(timings).toEqual({ queue: 12, infer: 2 });
});

test("vectors have unit length where that is asked for", async () => {
  const embedded = await setUp().embed({ normalize: true });
  expect(embedded).toMatchObject({ vectors: [new Float32Array([0.6, 0.8])] });
});

test("no texts are no vectors", async () => {
  expect(await setUp().embed({ texts: [] })).toMatchObject({ vectors: [], truncated: [] });
});

test("a model that is not served is refused, and one of images alone is told so", async () => {
  const { embed, jobs } = setUp();
  for (const [model, why] of [
    ["nobody", 'The model "nobody" is not served here; these embed texts: clip, clip@test.'],
    ["dino", 'The model "dino" embeds images, but no texts; these embed texts: clip, clip@test.'],
  ] as const) {
    expect(await embed({ model })).toMatchObject({ code: "unknown-model", message: why });
  }
  expect(jobs).toEqual([]);
});

test("a model that refuses is not asked", async () => {
  const admission = new Problem("model-unavailable", "It loads.");
  const { embed, jobs } = setUp({ admission });
  expect(await embed()).toBe(admission);
  expect(jobs).toEqual([]);
});

test("when one text fails the others are dropped, and the Problem is the answer", async () => {
  const problem = new Problem("inference-timeout", "It is slow.");
  const answer = async ({ text }: TextJob) => {
    if (text === "bad") throw problem;
    return await new Promise<Float32Array>(() => {});
  };
  const { embed, jobs } = setUp({ answer });
  expect(await embed({ texts: ["waits", "bad"] })).toBe(problem);
  expect(jobs.map(({ signal }) => signal.aborted)).toEqual([true, true]);
});

test("a caller who leaves ends every text, and a bug stays an error", async () => {
  const { embed, jobs, caller } = setUp();
  await embed();
  caller.abort(new Error("left"));
  expect(jobs[0]?.signal.aborted).toBe(true);
  const broken = setUp({ answer: () => Promise.reject(new TypeError("a bug")) });
  await expect(broken.embed()).rejects.toThrow("a bug");
});
