/** The use case of an image and texts, with both halves in the test's hands. */
import { expect, test } from "bun:test";
import type { StageTimings } from "../../src/backends/backend.ts";
import type { Embedded, Embedder } from "../../src/core/embed.ts";
import type { EmbeddedTexts, TextEmbedder } from "../../src/core/embed-text.ts";
import { createComparer } from "../../src/core/similarity.ts";
import { Problem } from "../../src/errors.ts";

const image: Embedded = { model: "m@1", vector: new Float32Array([1, 0]) };
const problem = new Problem("undecodable-image", "It is cut.");

/** Never ends but with the signal. */
function wait(signal: AbortSignal): Promise<never> {
  return new Promise((_, reject) => {
    if (signal.aborted) reject(signal.reason);
    signal.addEventListener("abort", () => reject(signal.reason), { once: true });
  });
}

function setUp(halves: {
  readonly image?: Embedder["embed"];
  readonly texts?: TextEmbedder["embed"];
}) {
  const signals: AbortSignal[] = [];
  const timings: StageTimings = {};
  const caller = new AbortController();
  const vectors = [new Float32Array([2, 0]), new Float32Array([0, 1])];
  const { texts = async () => embeddedTexts(vectors) } = halves;
  const comparer = createComparer({
    embedder: { refusal: () => undefined, embed: halves.image ?? (async () => image) },
    textEmbedder: {
      refusal: () => undefined,
      embed: async (input, signal, times) => {
        signals.push(signal);
        return input.texts.length === 0 ? embeddedTexts([]) : await texts(input, signal, times);
      },
    },
  });
  const source = { kind: "memory", bytes: new Uint8Array(3) } as const;
  const input = { source, texts: ["same", "across"], model: "m" };
  const compare = () => comparer.compare(input, caller.signal, timings);
  return { compare, caller, timings, signals };
}

function embeddedTexts(vectors: readonly Float32Array[]): EmbeddedTexts {
  const truncated = vectors.map((_, index) => index === 1);
  return { model: "m@1", vectors, truncated, tokens: vectors.map(() => 3) };
}

test("each text gets its cosine, its share and whether it was cut", async () => {
  const comparison = await setUp({}).compare();
  expect(comparison).toEqual({
    model: "m@1",
    matches: [
      { text: "same", cosine: 1, probability: 1, truncated: false },
      { text: "across", cosine: 0, probability: Math.exp(-100), truncated: true },
    ],
  });
});

test("the slower of image and texts counts for each stage", async () => {
  const { compare, timings } = setUp({
    image: async (_input, _signal, times) => {
      Object.assign(times, { fetch: 7, decode: 3, queue: 1, infer: 5 });
      return image;
    },
    texts: async (_input, _signal, times) => {
      Object.assign(times, { queue: 4, infer: 2 });
      return embeddedTexts([image.vector, image.vector]);
    },
  });
  await compare();
  expect(timings).toEqual({ fetch: 7, decode: 3, queue: 4, infer: 5 });
});

test("an image's problem is the answer, and its texts are dropped", async () => {
  const { compare, signals } = setUp({
    image: async () => problem,
    texts: (_input, signal) => wait(signal),
  });
  expect(await compare()).toBe(problem);
  expect(signals.every(({ aborted }) => aborted)).toBe(true);
});

test("the texts' problem is the answer, and the image is dropped", async () => {
  const dropped = Promise.withResolvers<boolean>();
  const { compare } = setUp({
    image: (_input, signal) => wait(signal).finally(() => dropped.resolve(signal.aborted)),
    texts: async () => problem,
  });
  expect(await compare()).toBe(problem);
  expect(await dropped.promise).toBe(true);
});

test("a caller who leaves ends both halves with its reason", async () => {
  const { compare, caller } = setUp({
    image: (_input, signal) => wait(signal),
    texts: (_input, signal) => wait(signal),
  });
  const comparing = compare();
  await Promise.resolve();
  caller.abort(new Error("gone"));
  await expect(comparing).rejects.toThrow("gone");
});

test("nothing is done for the image where the model takes no text", async () => {
  const comparer = createComparer({
    embedder: {
      refusal: () => undefined,
      embed: async () => {
        throw new Error("the image was asked for");
      },
    },
    textEmbedder: { refusal: () => undefined, embed: async () => problem },
  });
  const source = { kind: "memory", bytes: new Uint8Array(3) } as const;
  const input = { source, texts: ["a"], model: "m" };
  expect(await comparer.compare(input, new AbortController().signal, {})).toBe(problem);
});
