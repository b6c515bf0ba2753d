/** The use case, with adapters that only say what they were asked. */
import { expect, test } from "bun:test";
import type { BackendOutcome, ImageBackend } from "../../src/backends/backend.ts";
import type { ImageBytes, ImageFacts } from "../../src/backends/protocol.ts";
import { createEmbedder, type EmbedderOptions, type EmbedInput } from "../../src/core/embed.ts";
import { Problem } from "../../src/errors.ts";
import type { ImageSource } from "../../src/sources/source.ts";

const facts: ImageFacts = { sha256: "ab".repeat(32), format: "jpg", width: 1, height: 1 };
const source: ImageSource = { kind: "url", url: "https://pictures.example/a.jpg" };
const image: ImageBytes = { kind: "memory", bytes: new Uint8Array([1, 2, 3]) };
const good: BackendOutcome = {
  facts,
  bytes: new Uint8Array([1, 2, 3]),
  result: { model: "clip@test", vector: new Float32Array([3, 4]) },
  timings: { queue: 1, decode: 2, infer: 3 },
};
const modelFailed = new Problem("inference-timeout", "Too slow.");

interface Doings {
  readonly outcome?: BackendOutcome | Error;
  readonly acquire?: () => Promise<ImageBytes>;
  readonly admission?: Problem;
  readonly onEmbed?: () => void;
  readonly keepFails?: Error;
  readonly keepDownloads?: boolean;
}

/** The use case with two models, and what its adapters were asked in which order. */
function setUp({ outcome = good, onEmbed, keepDownloads = true, ...doings }: Doings = {}) {
  const asked: string[] = [];
  const kept: ImageBytes[] = [];
  const deadlines: number[] = [];
  const backend = (id: string): ImageBackend => ({
    id,
    exactId: `${id}@test`,
    dimensions: 2,
    fingerprint: () => `${id} fingerprint`,
    state: () => ({ kind: "ready" }),
    admission: ({ deadline }) => {
      asked.push(`admission ${id}`);
      deadlines.push(deadline);
      return doings.admission;
    },
    embed: async (job) => {
      asked.push(`embed ${id}`);
      deadlines.push(job.deadline);
      onEmbed?.();
      if (outcome instanceof Error) throw outcome;
      return outcome;
    },
  });
  const keep = async (bytes: ImageBytes, { sha256, format }: ImageFacts) => {
    asked.push("keep");
    if (doings.keepFails) throw doings.keepFails;
    kept.push(bytes);
    return { savedAs: `${sha256}.${format}`, path: "" };
  };
  const options: EmbedderOptions = {
    backends: [backend("clip"), backend("dino")],
    acquire: async () => {
      asked.push("acquire");
      return (await doings.acquire?.()) ?? image;
    },
    downloads: {
      prepare: async () => {},
      openSpool: () => Promise.reject(new Error("no spool here")),
      hasRoom: () => Promise.resolve(true),
      keep,
      stage: (bytes) => {
        let isKept = false;
        return {
          keep: async (imageFacts) => {
            const saved = await keep(bytes, imageFacts);
            isKept = true;
            return saved;
          },
          discard: async () => {
            if (!isKept) asked.push("discard");
          },
        };
      },
    },
    keepDownloads,
    requestTimeoutMs: 1_000,
  };
  const timings = {};
  const embedder = createEmbedder(options);
  const caller = new AbortController();
  return {
    asked,
    kept,
    deadlines,
    timings,
    caller,
    embed: (input: Partial<EmbedInput> = {}) =>
      embedder.embed(
        { source, model: "clip", normalize: false, keep: true, ...input },
        caller.signal,
        timings,
      ),
  };
}

test("a model is checked, admitted, and only then the image is got, embedded and kept", async () => {
  const { asked, embed, kept } = setUp();
  expect(await embed()).toEqual({
    model: "clip@test",
    vector: new Float32Array([3, 4]),
    sha256: facts.sha256,
    saved: { savedAs: `${facts.sha256}.jpg`, path: `downloads/${facts.sha256}.jpg` },
  });
  expect(asked).toEqual(["admission clip", "acquire", "embed clip", "keep"]);
  expect(kept).toEqual([{ kind: "memory", bytes: new Uint8Array([1, 2, 3]) }]);
});

test("an unknown model is refused before anything is done, with the names of those served", async () => {
  const { asked, embed } = setUp();
  const refused = await embed({ model: "vgg" });
  expect(refused).toMatchObject({ code: "unknown-model" });
  expect(String(refused)).toContain(
    '"vgg" is not served here; these are: clip, clip@test, dino, dino@test',
  );
  expect(asked).toEqual([]);
});

test("a long model name is not echoed whole", async () => {
  expect(String(await setUp().embed({ model: "x".repeat(5_000) })).length).toBeLessThan(300);
});

test("the exact id of a model is taken for the model", async () => {
  const { asked, embed } = setUp();
  await embed({ model: "dino@test" });
  expect(asked).toContain("embed dino");
});

test("a model that is not ready is refused before the image is got", async () => {
  const problem = new Problem("model-unavailable", "Loading.");
  const { asked, embed } = setUp({ admission: problem });
  expect(await embed()).toBe(problem);
  expect(asked).toEqual(["admission clip"]);
});

test("an image that cannot be got is its own Problem, and no model is asked", async () => {
  const problem = new Problem("origin-error", "Gone.");
  const { asked, embed } = setUp({ acquire: () => Promise.reject(problem) });
  expect(await embed()).toBe(problem);
  expect(asked).toEqual(["admission clip", "acquire"]);
});

test("what was fetched is held before it waits for a model, and what the request brought is not held twice", async () => {
  const held: number[] = [];
  const hold = (bytes: number) => void held.push(bytes);
  const { asked, embed } = setUp({ onEmbed: () => expect(held).toEqual([3]) });
  await embed({ hold });
  expect(asked).toContain("embed clip");
  await embed({ hold, source: { kind: "memory", bytes: new Uint8Array(3) } });
  expect(held).toEqual([3]);
});

test("a fetched image for which there is no memory is refused before it waits for a model", async () => {
  const problem = new Problem("overloaded", "Full.");
  const { asked, embed } = setUp();
  const hold = () => {
    throw problem;
  };
  expect(await embed({ hold })).toBe(problem);
  expect(asked).toEqual(["admission clip", "acquire"]);
});

test("one deadline holds from the first step to the last", async () => {
  const before = performance.now();
  const { deadlines, embed } = setUp();
  await embed();
  const [first = 0] = deadlines;
  expect(deadlines).toEqual([first, first]);
  expect(first).toBeGreaterThanOrEqual(before + 1_000);
  expect(first).toBeLessThanOrEqual(performance.now() + 1_000);
});

test("the stages' times are given, also when the model fails", async () => {
  const done = setUp();
  await done.embed();
  expect(done.timings).toEqual({ fetch: expect.any(Number), queue: 1, decode: 2, infer: 3 });
  const failed = setUp({ outcome: { ...good, result: modelFailed } });
  await failed.embed();
  expect(failed.timings).toEqual({ fetch: expect.any(Number), queue: 1, decode: 2, infer: 3 });
});

test("what was not fetched has no time of fetching", async () => {
  const { embed, timings } = setUp();
  await embed({ source: { kind: "memory", bytes: new Uint8Array(3) } });
  expect(timings).not.toHaveProperty("fetch");
});

test("normalised vectors have length 1 and keep their direction", async () => {
  expect(await setUp().embed({ normalize: true })).toMatchObject({
    vector: new Float32Array([0.6, 0.8]),
  });
});

test("a request that keeps nothing keeps nothing, and says nothing of a file", async () => {
  const { embed, kept } = setUp();
  expect(await embed({ keep: false })).not.toHaveProperty("saved");
  expect(kept).toEqual([]);
});

test("with keeping turned off the file is still named, but not written", async () => {
  const { embed, kept } = setUp({ keepDownloads: false });
  expect(await embed()).toHaveProperty("saved.savedAs", `${facts.sha256}.jpg`);
  expect(kept).toEqual([]);
});

test("an image in a file is kept by its file", async () => {
  const file: ImageBytes = { kind: "file", path: "/spool/1" };
  const { bytes: _, ...outcome } = good;
  const { embed, kept } = setUp({ acquire: async () => file, outcome });
  await embed();
  expect(kept).toEqual([file]);
});

test("an image that decoded is kept although the model then failed", async () => {
  const { embed, kept } = setUp({ outcome: { ...good, result: modelFailed } });
  expect(await embed()).toBe(modelFailed);
  expect(kept).toHaveLength(1);
});

test("bytes that do not decode are not kept", async () => {
  const problem = new Problem("undecodable-image", "Cut short.");
  const { facts: _, ...outcome } = good;
  const { embed, kept } = setUp({ outcome: { ...outcome, result: problem } });
  expect(await embed()).toBe(problem);
  expect(kept).toEqual([]);
});

test("nothing is kept for a caller who has left", async () => {
  const { caller, embed, kept } = setUp({ onEmbed: () => caller.abort(new Error("gone")) });
  await expect(embed()).rejects.toThrow("gone");
  expect(kept).toEqual([]);
});

test("a full disk is the answer, even where there is a vector", async () => {
  const keepFails = new Problem("storage-full", "Full.");
  expect(await setUp({ keepFails }).embed()).toBe(keepFails);
});

test("a Problem that a backend throws is an outcome, a bug stays an error", async () => {
  expect(await setUp({ outcome: modelFailed }).embed()).toBe(modelFailed);
  await expect(setUp({ outcome: new TypeError("bug") }).embed()).rejects.toThrow("bug");
});

test("a vector that cannot be normalised is a bug, not a bad request", async () => {
  const result = { model: "clip@test", vector: new Float32Array([0, 0]) };
  const { embed } = setUp({ outcome: { ...good, result } });
  await expect(embed({ normalize: true })).rejects.toThrow(RangeError);
});
