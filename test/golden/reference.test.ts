/**
 * Embeddings against transformers' CLIPModel with the same seeded weights: no real ones are needed for that.
 *
 * What it made is kept, and compared on every run; that of the largest model in served.test.ts, which also takes the
 * documented way and can ask transformers anew.
 */
import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { createWorker, type Worker } from "../../src/backends/pool.ts";
import { catalog } from "../../src/models/catalog.ts";
import { preparedFolderIn, syntheticFolder } from "../../src/models/prepared.ts";
import { workerFiles } from "../../src/native/worker-files.ts";
import { type AllEmbedded, type AllInputs, embedAll, readInputs } from "../support/embed-all.ts";
import { decodeVector, findPictures, type PictureFile } from "../support/reference.ts";
import { testModelsDir } from "../support/service.ts";
import { temporaryFolder } from "../support/tiny-clip.ts";
import { expectSame } from "./agreement.ts";
import { kept } from "./kept.ts";

let worker: Worker;
let folder: Awaited<ReturnType<typeof temporaryFolder>>;
let pictures: readonly PictureFile[];

beforeAll(async () => {
  folder = await temporaryFolder();
  pictures = await findPictures(folder.path);
  worker = createWorker(workerFiles);
});
afterAll(async () => {
  await worker.run({ kind: "warm-up", model: undefined });
  await worker.close();
  await folder[Symbol.asyncDispose]();
});

describe.each(["clip-ViT-B-32", "clip-ViT-B-16"] as const)(
  "the seeded %s gives what transformers and torch gave",
  (id) => {
    const { images, texts } = kept[id];
    let inputs: AllInputs;
    let embedded: AllEmbedded;

    beforeAll(async () => {
      const { architecture } = catalog[id];
      const model = {
        folder: syntheticFolder(preparedFolderIn(testModelsDir), id),
        from: { kind: "seed", architecture },
      } as const;
      const found = pictures.filter(({ name }) => name in images);
      const words = texts.map(({ text }) => text);
      inputs = await readInputs(worker, id, found, words);
      embedded = await embedAll(worker, id, model, found, words);
    });

    test.each(Object.entries(images))("for %s", (name, { vector, ...digests }) => {
      const ours = embedded.images.get(name);
      // `findPictures` has said so where a photo is not on this machine.
      if (ours === undefined) return;
      // Another version of sharp may encode our own pictures otherwise: then PROOF=write.
      expect(inputs.images.get(name)).toEqual(digests);
      expectSame(ours, decodeVector(vector));
    });

    test.each([...texts])("for the text $text", ({ text, ids, vector }) => {
      expect(inputs.texts.get(text)).toEqual([...ids]);
      expectSame(embedded.texts.get(text) ?? new Float32Array(), decodeVector(vector));
    });
  },
);
