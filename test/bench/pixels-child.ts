/** A process that does to images what a worker does before the model sees them. */
import { catalog } from "../../src/models/catalog.ts";
import { configureSharp, decodeImage } from "../../workers/decode.ts";
import { createPreprocess } from "../../workers/preprocess.ts";
import { answerQuestions } from "./child.ts";

/** Path of an image. */
export type PixelsQuestion = string;

/** How long both stages took. */
export interface PixelsAnswer {
  readonly decodeMs: number;
  readonly preprocessMs: number;
}

const side = 224;
const { mean, std } = catalog["clip-ViT-B-32"].preprocessing;
const preprocess = createPreprocess({ side, mean, std });
const pixelValues = new Float32Array(3 * side * side);

configureSharp();
answerQuestions<PixelsQuestion, PixelsAnswer>(async (path) => {
  const startedMs = performance.now();
  const options = { maxPixels: 100_000_000, orientation: "apply" } as const;
  const image = await decodeImage({ kind: "file", path }, options);
  const decodedMs = performance.now();
  preprocess(image, pixelValues, 0);
  return { decodeMs: decodedMs - startedMs, preprocessMs: performance.now() - decodedMs };
});
