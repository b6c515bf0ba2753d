/**
 * The service as it is documented, against transformers' CLIPModel with the same seeded weights: no real ones are
 * needed for that. It takes minutes and much disk, so it runs only where PROOF is set:
 *
 *     PROOF=all bun test test/golden/served.test.ts     runs reference.py: three models, every picture, every text
 *     PROOF=kept bun test test/golden/served.test.ts    compares with what that once made, for want of Python
 *
 * PROOF=write does as `all`, and keeps what the reference made. A model's id is for that one only.
 *
 * The largest model needs 10 GB of disk and 6 GB of memory. For reference.py, uv installs what it lists; or PYTHON is
 * a Python that has it, for which there is install-reference.sh.
 */
import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { mkdir } from "node:fs/promises";
import { dirname, join } from "node:path";
import { createWorker, type Worker } from "../../src/backends/pool.ts";
import { catalog, type LocalModelId } from "../../src/models/catalog.ts";
import { seededTensors } from "../../src/models/seeded-tensors.ts";
import { workerFiles } from "../../src/native/worker-files.ts";
import { readInputs } from "../support/embed-all.ts";
import {
  decodeVector,
  findPictures,
  type PictureFile,
  type Reference,
  referenceTexts,
  runReference,
} from "../support/reference.ts";
import { writeSafetensors } from "../support/seeded-safetensors.ts";
import { temporaryFolder } from "../support/tiny-clip.ts";
import { expectAllSame } from "./agreement.ts";
import { keep, kept } from "./kept.ts";
import { embedServed } from "./served.ts";

/** By model, how long it may take. */
const timeoutsMs = [
  ["clip-ViT-B-32", 5 * 60_000],
  ["clip-ViT-B-16", 10 * 60_000],
  ["clip-ViT-L-14", 30 * 60_000],
] as const;
const proof = Bun.env["PROOF"];

if (proof !== undefined) {
  const isEvery = ["all", "kept", "write"].includes(proof);
  const wanted = timeoutsMs.filter(([id]) => isEvery || id === proof);

  test("PROOF says what to prove", () => {
    expect([proof, wanted]).not.toEqual([proof, []]);
  });

  describe.each(wanted)("%s, imported and served,", (id, timeoutMs) => {
    const prepares =
      "prepares pictures as transformers does, bit for bit, and gives its embeddings";
    test(prepares, () => prove(id, proof), timeoutMs);
  });
}

let worker: Worker;
let folder: Awaited<ReturnType<typeof temporaryFolder>>;
let pictures: readonly PictureFile[];

beforeAll(async () => {
  folder = await temporaryFolder();
  pictures = await findPictures(folder.path);
  worker = createWorker(workerFiles);
});
afterAll(async () => {
  await worker.close();
  await folder[Symbol.asyncDispose]();
});

async function prove(id: LocalModelId, how: string): Promise<void> {
  await using own = await temporaryFolder();
  const path = join(own.path, "weights", "model.safetensors");
  await mkdir(dirname(path));
  const { architecture } = catalog[id];
  const weights = await writeSafetensors(path, architecture, seededTensors("imagesvc"));
  const job = { weights: path, architecture, images: pictures, texts: referenceTexts };
  const reference = how === "kept" ? kept[id] : await runReference(own.path, job);
  if (how === "write") await keep(id, reference);
  await compare(id, weights, join(own.path, "models"), reference);
}

/** Compares a served model with the reference, on whatever that has and is on this machine. */
async function compare(
  id: LocalModelId,
  weights: { readonly path: string; readonly sha256: string },
  modelsDir: string,
  { images, texts }: Reference,
): Promise<void> {
  const found = pictures.filter(({ name }) => name in images);
  const words = texts.map(({ text }) => text);
  const inputs = await readInputs(worker, id, found, words);
  for (const [name, digests] of inputs.images) {
    expect([name, images[name]]).toMatchObject([name, digests]);
  }
  expect(words.map((text) => inputs.texts.get(text))).toEqual(texts.map(({ ids }) => ids));
  const served = await embedServed(modelsDir, id, weights, found, words);
  const imagePairs = [...served.images].map(
    ([name, vector]) => [vector, decodeVector(images[name]?.vector ?? "")] as const,
  );
  expectAllSame(`${id}, images`, imagePairs);
  const textPairs = texts.map(
    ({ text, vector }) =>
      [served.texts.get(text) ?? new Float32Array(), decodeVector(vector)] as const,
  );
  expectAllSame(`${id}, texts`, textPairs);
}
