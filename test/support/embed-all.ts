import type { Worker } from "../../src/backends/pool.ts";
import type { ImageBytes, ModelToWrite } from "../../src/backends/protocol.ts";
import { catalog, type LocalModelId } from "../../src/models/catalog.ts";
import type { PictureFile } from "./reference.ts";

/** What a worker made of pictures and texts. */
export interface AllEmbedded {
  /** By name: digests of the bytes and of the pixel values, and float32, [dimensions]. */
  readonly images: ReadonlyMap<
    string,
    { readonly sha256: string; readonly pixelValuesSha256: string; readonly vector: Float32Array }
  >;
  /** By text: token ids, and float32, [dimensions]. */
  readonly texts: ReadonlyMap<
    string,
    { readonly ids: readonly number[]; readonly vector: Float32Array }
  >;
}

/** Images or texts of one task. */
const batch = 8;
const decode = { maxPixels: 100_000_000, orientation: "ignore" } as const;

/** Prepares a model in a worker, and embeds everything with it. */
export async function embedAll(
  worker: Worker,
  id: LocalModelId,
  model: ModelToWrite,
  pictures: readonly PictureFile[],
  texts: readonly string[],
): Promise<AllEmbedded> {
  const { architecture, preprocessing } = catalog[id];
  const { dimensions, vision } = architecture;
  const { mean, std } = preprocessing;
  const input = { side: vision.side, mean, std };
  const written = await worker.run({ kind: "write-model", model });
  if ("unavailable" in written) throw new Error(written.unavailable);
  const threads = navigator.hardwareConcurrency;
  const { imageTower, textTower } = written;
  await worker.run({
    kind: "warm-up",
    model: { imageTower, dimensions, threads, ...input },
  });
  const images = pictures.map(({ path }): ImageBytes => ({ kind: "file", path }));
  const read = await worker.run({ kind: "read-inputs", images, texts, decode, input });
  const imageVectors: Float32Array[] = [];
  for (const some of chunked(images)) {
    for (const { result } of await worker.run({ kind: "embed-images", images: some, decode })) {
      if ("problem" in result) throw new Error(result.problem.detail);
      imageVectors.push(result.vector);
    }
  }
  const textVectors: Float32Array[] = [];
  for (const some of chunked(texts)) {
    const model = { textTower, dimensions, threads };
    const outcomes = await worker.run({ kind: "embed-texts", model, texts: some });
    if ("problem" in outcomes) throw new Error(outcomes.problem.detail);
    textVectors.push(...outcomes.map(({ vector }) => vector));
  }
  return {
    images: new Map(
      pictures.map(({ name }, index) => {
        const one = read.images[index];
        if (one === undefined || "problem" in one) throw new Error(`${name} was not read`);
        const { sha256 } = one.facts;
        const { pixelValuesSha256 } = one;
        return [name, { sha256, pixelValuesSha256, vector: at(imageVectors, index) }];
      }),
    ),
    texts: new Map(
      texts.map((text, index) => [
        text,
        { ids: at(read.tokenIds, index), vector: at(textVectors, index) },
      ]),
    ),
  };
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
