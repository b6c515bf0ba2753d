/** The documented way to vectors: weights of one's own, imported by a command, served, and asked over HTTP. */
import { expect } from "bun:test";
import { dirname } from "node:path";
import type { LocalModelId } from "../../src/models/catalog.ts";
import { shortDigest } from "../../src/models/prepared.ts";
import { answerOf, postFile, postJson } from "../support/client.ts";
import { runMain, startProcess } from "../support/process.ts";
import type { PictureFile } from "../support/reference.ts";

/** Vectors by the picture's name and by the text: float32, [dimensions]. */
export interface Served {
  readonly images: ReadonlyMap<string, Float32Array>;
  readonly texts: ReadonlyMap<string, Float32Array>;
}

/**
 * Imports weights with `imagesvc models import DIR --sha256 HEX`, checks them with `models verify`, and embeds with the
 * service what it is given.
 *
 * @param modelsDir where the model goes.
 * @param weights a safetensors file in a folder of its own.
 */
export async function embedServed(
  modelsDir: string,
  id: LocalModelId,
  weights: { readonly path: string; readonly sha256: string },
  pictures: readonly PictureFile[],
  texts: readonly string[],
): Promise<Served> {
  const settings = {
    MODELS_DIR: modelsDir,
    CLIP_MODEL: id,
    CLIP_WEIGHTS: "openai",
    EXIF_ORIENTATION: "ignore",
  };
  const { path, sha256 } = weights;
  await run(["models", "import", dirname(path), "--sha256", sha256], settings);
  await run(["models", "verify"], settings);
  await using service = await startProcess(settings);
  await service.logged(/"message":"model ready"/);
  const served = { url: await service.url() };
  const model = `${id}@${shortDigest(sha256)}`;
  const images = new Map<string, Float32Array>();
  for (const { name, path } of pictures) {
    const bytes = await Bun.file(path).bytes();
    const answer = await answerOf(await postFile(served, bytes, { name, query: `?model=${id}` }));
    expect(answer.model).toBe(model);
    images.set(name, Float32Array.from(answer.vector));
  }
  const response = await postJson(served, "/embed-text", { text: texts });
  expect(response.status).toBe(200);
  const answer: { readonly model: string; readonly vectors: readonly (readonly number[])[] } =
    JSON.parse(await response.text());
  expect([answer.model, answer.vectors.length]).toEqual([model, texts.length]);
  const vectors = answer.vectors.map((vector) => Float32Array.from(vector));
  return {
    images,
    texts: new Map(texts.map((text, index) => [text, vectors[index] ?? new Float32Array()])),
  };
}

async function run(
  argv: readonly string[],
  settings: Readonly<Record<string, string>>,
): Promise<void> {
  const { code, output, errors } = await runMain(argv, settings);
  expect({ argv, code, output, errors }).toMatchObject({ code: 0 });
}
