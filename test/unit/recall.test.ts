/** The recall, where an image cannot be hashed. */
import { expect, test } from "bun:test";
import type { ImageBackend } from "../../src/backends/backend.ts";
import type { ImageBytes } from "../../src/backends/protocol.ts";
import { createRecall } from "../../src/core/recall.ts";

const backend: ImageBackend = {
  id: "m",
  exactId: "m@1",
  dimensions: 1,
  state: () => ({ kind: "ready" }),
  admission: () => undefined,
  fingerprint: () => "m",
  embed: async ({ image }) => ({
    facts: { sha256: "ab", format: "png", width: 1, height: 1 },
    result: { model: image.sha256 ?? "no digest", vector: new Float32Array(1) },
    timings: {},
  }),
};

function embed(image: ImageBytes) {
  const digest = async () => {
    throw new Error("the thread died");
  };
  const cache = { find: () => undefined, keep: () => {} };
  const recall = createRecall({ cache, digester: { digest }, reading: "" });
  return recall.embed(backend, { image, signal: new AbortController().signal, deadline: 0 });
}

test("a file that cannot be hashed is embedded without its digest", async () => {
  const { result, cache } = await embed({ kind: "file", path: "picture" });
  expect(result).toMatchObject({ model: "no digest" });
  expect(cache).toBe("miss");
});

test("bytes in memory that went away with the thread fail", async () => {
  const image: ImageBytes = { kind: "memory", bytes: new Uint8Array(1) };
  await expect(embed(image)).rejects.toThrow("the thread died");
});
