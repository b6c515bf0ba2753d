/** A process that does to images what a worker does before the model sees them. */
import { catalog } from "../../src/models/catalog.ts";
import { configureSharp, type OpenedImage, openImage } from "../../workers/decode.ts";
import { createPreprocess } from "../../workers/preprocess.ts";
import { answerQuestions } from "./child.ts";

/** Path of an image. */
export type PixelsQuestion = string;

/** How long both stages took. */
export interface PixelsAnswer {
  readonly decodeMs: number;
  readonly preprocessMs: number;
  /** In how many decodings it was read. */
  readonly strips: number;
}

const side = 224;
const { mean, std } = catalog["clip-ViT-B-32"].preprocessing;
const preprocess = createPreprocess({ side, mean, std });
const pixelValues = new Float32Array(3 * side * side);

configureSharp();
answerQuestions<PixelsQuestion, PixelsAnswer>(async (path) => {
  const startedMs = performance.now();
  const options = { maxPixels: 100_000_000, orientation: "apply" } as const;
  const image = await openImage({ kind: "file", path }, options);
  let decodeMs = performance.now() - startedMs;
  const readStrip: OpenedImage["readStrip"] = async (strip) => {
    const readMs = performance.now();
    const rgb = await image.readStrip(strip);
    decodeMs += performance.now() - readMs;
    return rgb;
  };
  const readRows: OpenedImage["readRows"] =
    image.readRows &&
    ((take) => {
      const readMs = performance.now();
      let takenMs = 0;
      image.readRows?.((strip, rgb) => {
        const takeMs = performance.now();
        take(strip, rgb);
        takenMs += performance.now() - takeMs;
      });
      decodeMs += performance.now() - readMs - takenMs;
    });
  await preprocess({ ...image, readStrip, readRows }, pixelValues, 0);
  const tookMs = performance.now() - startedMs;
  return { decodeMs, preprocessMs: tookMs - decodeMs, strips: image.strips.length };
});
