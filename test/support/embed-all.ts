import type { Worker } from "../../src/backends/pool.ts";
import type { ImageBytes, ModelToWrite } from "../../src/backends/protocol.ts";
import { catalog, type LocalModelId } from "../../src/models/catalog.ts";
import type { PictureFile } from "./reference.ts";

/** What a model is fed for pictures and texts. */
export interface AllInputs {
  /** By name: digests of the bytes and of the pixel values. */
  readonly images: ReadonlyMap<
    string,
    { readonly sha256: string; readonly pixelValuesSha256: string }
  >;
  /** By text: token ids. */
  readonly texts: ReadonlyMap<string, readonly number[]>;
}

/** What a model makes of pictures, by name, and of texts: float32, [dimensions]. */
export interface AllEmbedded {
  readonly images: ReadonlyMap<string, Float32Array>;
  readonly texts: ReadonlyMap<string, Float32Array>;
}

/** Images or texts of one task. */
const batch = 8;
const decode = { maxPixels: 100_000_000, orientation: "ignore" } as const;

/** Prepares pictures and texts for a model in a worker; no weights are needed. */
export async function readInputs(
  worker: Worker,
  id: LocalModelId,
  pictures: readonly PictureFile[],
  texts: readonly string[],
): Promise<AllInputs> {
  const images = pictures.map(({ path }): ImageBytes => ({ kind: "file", path }));
  const input = inputOf(id);
  const read = await worker.run({ kind: "read-inputs", images, texts, decode, input });
  return {
    images: new Map(
      pictures.map(({ name }, index) => {
        const one = at(read.images, index);
        if ("problem" in one) throw new Error(`${name}: ${one.problem.detail}`);
        return [name, { sha256: one.facts.sha256, pixelValuesSha256: one.pixelValuesSha256 }];
      }),
    ),
    texts: new Map(texts.map((text, index) => [text, at(read.tokenIds, index)])),
  };
}

/** Prepares a model in a worker, and embeds everything with it. */
export async function embedAll(
  worker: Worker,
  id: LocalModelId,
  model: ModelToWrite,
  pictures: readonly PictureFile[],
  texts: readonly string[],
): Promise<AllEmbedded> {
  const { dimensions } = catalog[id].architecture;
  const written = await worker.run({ kind: "write-model", model });
  if ("unavailable" in written) throw new Error(written.unavailable);
  const threads = navigator.hardwareConcurrency;
  const { imageTower, textTower, packed } = written;
  const packedImageTower = packed?.imageTower;
  const packedTextTower = packed?.textTower;
  await worker.run({
    kind: "warm-up",
    model: { imageTower, packedImageTower, dimensions, threads, ...inputOf(id) },
  });
  const images = pictures.map(({ path }): ImageBytes => ({ kind: "file", path }));
  const imageVectors: Float32Array[] = [];
  for (const some of chunked(images)) {
    for (const { result } of await worker.run({ kind: "embed-images", images: some, decode })) {
      if ("problem" in result) throw new Error(result.problem.detail);
      imageVectors.push(result.vector);
    }
  }
  const textVectors: Float32Array[] = [];
  for (const some of chunked(texts)) {
    const model = { textTower, packedTextTower, skipsPadding: true, dimensions, threads };
    const outcomes = await worker.run({ kind: "embed-texts", model, texts: some });
    if ("problem" in outcomes) throw new Error(outcomes.problem.detail);
    textVectors.push(...outcomes.map(({ vector }) => vector));
  }
  return {
    images: new Map(pictures.map(({ name }, index) => [name, at(imageVectors, index)])),
    texts: new Map(texts.map((text, index) => [text, at(textVectors, index)])),
  };
}

function inputOf(id: LocalModelId) {
  const { architecture, preprocessing } = catalog[id];
  const { mean, std } = preprocessing;
  return { side: architecture.vision.side, mean, std };
}

function chunked<Thing>(things: readonly Thing[]): Thing[][] {
  return Array.from({ length: Math.ceil(things.length / batch) }, (_, index) =>
    things.slice(index * batch, (index + 1) * batch),
  );
}

function at<Thing>(things: readonly Thing[], index: number): Thing {
  const thing = things[index];
  if (thing === undefined) throw new RangeError(`index ${index} of ${things.length}`);
  return thing;
}
