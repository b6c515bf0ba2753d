/**
 * Embeddings against transformers' CLIPModel with the same seeded weights: no real ones are needed for that.
 *
 * What it made with the seeded ViT-B/32 is kept in clip-vit-b-32.json, and compared on every run. Where PROOF is
 * set, it runs here too, on three architectures, every picture and every text:
 *
 *     PROOF=all bun test test/golden/reference.test.ts --timeout=3600000
 *
 * That needs 10 GB of disk, 6 GB of memory, and either uv, which installs what reference.py lists, or in
 * PYTHON a Python that has it. PROOF=write also writes clip-vit-b-32.json anew.
 */
import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { writeFile } from "node:fs/promises";
import { join } from "node:path";
import { createWorker, type Worker } from "../../src/backends/pool.ts";
import { catalog } from "../../src/models/catalog.ts";
import { preparedFolderIn, syntheticFolder } from "../../src/models/prepared.ts";
import { seededTensors } from "../../src/models/seeded-tensors.ts";
import { workerFiles } from "../../src/native/worker-files.ts";
import { cosineSimilarity } from "../../src/vector/similarity.ts";
import { relativeDifference } from "../support/difference.ts";
import { type AllEmbedded, embedAll } from "../support/embed-all.ts";
import {
  decodeVector,
  findPictures,
  type PictureFile,
  type Reference,
  referenceTexts,
  runReference,
} from "../support/reference.ts";
import { writeSafetensors } from "../support/seeded-safetensors.ts";
import { testModelsDir } from "../support/service.ts";
import { temporaryFolder } from "../support/tiny-clip.ts";
import kept from "./clip-vit-b-32.json";

const keptModel = "clip-ViT-B-32";
const keptImages = [
  ...["pattern-640x480.png", "pattern-96x130.png", "gradient.jpg", "page.webp", "alpha.png"],
  ...["CLIP.png", "st-cat.jpg", "st-eiffel-tower-day.jpg", "st-two_dogs_in_snow.jpg"],
];
/** One in five of the texts. */
const keptEvery = 5;
const proof = Bun.env["PROOF"];

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

describe("the seeded ViT-B/32 gives what transformers and torch gave", () => {
  let ours: AllEmbedded;

  beforeAll(async () => {
    const { architecture } = catalog[keptModel];
    const model = {
      folder: syntheticFolder(preparedFolderIn(testModelsDir), keptModel),
      from: { kind: "seed", architecture },
    } as const;
    const wanted = pictures.filter(({ name }) => name in kept.images);
    const texts = kept.texts.map(({ text }) => text);
    ours = await embedAll(worker, keptModel, model, wanted, texts);
  });

  test.each(Object.entries(kept.images))("for %s", (name, reference) => {
    const image = ours.images.get(name);
    // `findPictures` has said so where a photo is not on this machine.
    if (image === undefined) return;
    // Another version of sharp may encode our own pictures otherwise: then PROOF=write.
    expect(image.sha256).toBe(reference.sha256);
    expect(image.pixelValuesSha256).toBe(reference.pixelValuesSha256);
    expectSame(image.vector, decodeVector(reference.vector));
  });

  test.each(kept.texts)("for the text $text", ({ text, ids, vector }) => {
    const embedded = ours.texts.get(text);
    expect(embedded?.ids).toEqual(ids);
    expectSame(embedded?.vector ?? new Float32Array(), decodeVector(vector));
  });
});

if (proof !== undefined) {
  describe.each(["clip-ViT-B-32", "clip-ViT-B-16", "clip-ViT-L-14"] as const)("%s", (id) => {
    test("prepares pictures as transformers does, bit for bit, and gives its embeddings", async () => {
      await using own = await temporaryFolder();
      const { architecture } = catalog[id];
      const path = join(own.path, "model.safetensors");
      const facts = await writeSafetensors(path, architecture, seededTensors("imagesvc"));
      const job = { weights: path, architecture, images: pictures, texts: referenceTexts };
      const reference = await runReference(own.path, job);
      const from = { kind: "weights", architecture, ...facts } as const;
      const model = { folder: join(own.path, "prepared"), from };
      const texts = referenceTexts.map(({ text }) => text);
      const ours = await embedAll(worker, id, model, pictures, texts);
      for (const [name, { sha256, pixelValuesSha256 }] of Object.entries(reference.images)) {
        const image = ours.images.get(name);
        expect([name, image?.sha256]).toEqual([name, sha256]);
        expect([name, image?.pixelValuesSha256]).toEqual([name, pixelValuesSha256]);
      }
      report(`${id}, images`, pairsOf(Object.entries(reference.images), ours.images));
      const lines = reference.texts.map((line) => [line.text, line] as const);
      report(`${id}, texts`, pairsOf(lines, ours.texts));
      if (proof === "write" && id === keptModel) await keep(reference);
    });
  });
}

type Pair = readonly [ours: Float32Array, theirs: Float32Array];

function pairsOf(
  theirs: readonly (readonly [string, { readonly vector: string }])[],
  ours: ReadonlyMap<string, { readonly vector: Float32Array }>,
): Pair[] {
  return theirs.map(([name, { vector }]) => [
    ours.get(name)?.vector ?? new Float32Array(),
    decodeVector(vector),
  ]);
}

/** Prints how far apart the embeddings are at most, and checks each. */
function report(what: string, pairs: readonly Pair[]): void {
  const difference = Math.max(...pairs.map(([ours, theirs]) => relativeDifference(ours, theirs)));
  const cosine = Math.min(...pairs.map(([ours, theirs]) => cosineSimilarity(ours, theirs)));
  process.stderr.write(
    `${what}: ${pairs.length} compared; largest difference ${difference.toExponential(2)} of the largest number, smallest cosine ${cosine.toFixed(12)}\n`,
  );
  for (const [ours, theirs] of pairs) expectSame(ours, theirs);
}

function expectSame(ours: Float32Array, theirs: Float32Array): void {
  expect(relativeDifference(ours, theirs)).toBeLessThan(1e-4);
  expect(cosineSimilarity(ours, theirs)).toBeGreaterThan(0.999999);
}

/** Keeps what every run compares with; few, because vectors are long. */
async function keep({ madeWith, images, texts }: Reference): Promise<void> {
  const few = {
    madeWith,
    images: Object.fromEntries(
      Object.entries(images).filter(([name]) => keptImages.includes(name)),
    ),
    texts: texts.filter((_, index) => index % keptEvery === 0),
  };
  const path = join(import.meta.dir, "clip-vit-b-32.json");
  await writeFile(path, `${JSON.stringify(few, null, 1)}\n`);
}
