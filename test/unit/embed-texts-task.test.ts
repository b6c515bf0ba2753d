/** Texts in a real worker, with a small model that has CLIP's vocabulary. */
import { afterAll, beforeAll, expect, test } from "bun:test";
import { join } from "node:path";
import { createWorker, type Worker } from "../../src/backends/pool.ts";
import type { ClipTextModelFile } from "../../src/backends/protocol.ts";
import type { ClipArchitecture } from "../../src/models/onnx/architecture.ts";
import { modelFilesIn } from "../../src/models/prepared.ts";
import { workerFiles } from "../../src/native/worker-files.ts";
import { createClipTokenizer } from "../../src/text/clip-tokenizer.ts";
import { parseVocabulary } from "../../src/text/clip-vocabulary.ts";
import { loadClipMerges } from "../../workers/clip-merges.ts";
import { writeModel } from "../../workers/write-model.ts";
import { relativeDifference } from "../support/difference.ts";
import { plainTextEmbedding } from "../support/plain-clip.ts";
import { temporaryFolder, tinyClip, tinyTensors } from "../support/tiny-clip.ts";

const smallClip: ClipArchitecture = {
  ...tinyClip,
  text: { ...tinyClip.text, maxTokens: 77, vocabulary: 49_408, endToken: 49_407 },
};
const tokenize = createClipTokenizer(parseVocabulary(await loadClipMerges()));

let folder: Awaited<ReturnType<typeof temporaryFolder>>;
let worker: Worker;
let model: ClipTextModelFile;

beforeAll(async () => {
  folder = await temporaryFolder();
  const files = modelFilesIn(folder.path);
  await writeModel(files, smallClip, tinyTensors);
  model = {
    textTower: files.textTower,
    skipsPadding: true,
    dimensions: smallClip.dimensions,
    threads: 1,
  };
  worker = createWorker(workerFiles);
});
afterAll(async () => {
  await worker.run({ kind: "warm-up", model: undefined });
  await worker.close();
  await folder[Symbol.asyncDispose]();
});

async function embed(...texts: string[]) {
  const answer = await worker.run({ kind: "embed-texts", model, texts });
  if ("problem" in answer) throw new Error(answer.problem.detail);
  return answer;
}

const texts = [
  "a photo of a cat",
  "",
  "Zwei Hunde im Schnee, bei Nacht!",
  "日本",
  "cat ".repeat(100),
];

test("every text gets the vector of a plain implementation of CLIP", async () => {
  for (const [index, { vector, truncated }] of (await embed(...texts)).entries()) {
    const { ids } = tokenize(texts[index] ?? "");
    const expected = plainTextEmbedding(smallClip, tinyTensors, ids);
    expect(relativeDifference(vector, expected)).toBeLessThan(1e-4);
    expect(truncated).toBe(index === 4);
  }
});

test("a text gets the vector in a batch that it gets alone", async () => {
  const together = await embed(...texts);
  for (const [index, { vector }] of together.entries()) {
    const [alone] = await embed(texts[index] ?? "");
    expect(relativeDifference(vector, alone?.vector ?? [])).toBeLessThan(1e-6);
  }
});

test("different texts get clearly different vectors, also where one only goes on", async () => {
  const [cat, cats, dog] = await embed("a photo of a cat", "a photo of a cat and", "a dog");
  expect(relativeDifference(cat?.vector ?? [], cats?.vector ?? [])).toBeGreaterThan(0.01);
  expect(relativeDifference(cat?.vector ?? [], dog?.vector ?? [])).toBeGreaterThan(0.01);
});

/** What a task with another model than the others' answers. */
async function answerOf(other: Partial<ClipTextModelFile>): Promise<unknown> {
  await worker.run({ kind: "warm-up", model: undefined });
  const task = { kind: "embed-texts", model: { ...model, ...other }, texts: ["cat"] } as const;
  return await worker.run(task);
}

/** A problem that says so much of why. */
function unusable(detail: string, cause?: string) {
  const about = { code: "model-unavailable", detail: expect.stringContaining(detail) };
  return {
    problem: cause === undefined ? about : { ...about, cause: expect.stringMatching(cause) },
  };
}

test("a model that is not there fails its texts only, and the log gets the file's name", async () => {
  expect(await answerOf({ textTower: join(folder.path, "missing.onnx") })).toEqual(
    unusable("its text tower cannot be loaded: start the service again", "missing.onnx"),
  );
  expect(await embed("cat")).toHaveLength(1);
});

test("a model of another shape is not taken for whole", async () => {
  expect(await answerOf({ dimensions: 13 })).toEqual(
    unusable("the text tower gave float32 [1,12] instead of float32 [1,13]"),
  );
});
