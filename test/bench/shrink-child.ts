/** A process that decodes JPEGs whole and shrunk, and says what the difference is: `shrink-child.ts <model>`. */
import sharp from "sharp";
import { createResampler } from "../../src/image/resample.ts";
import { normalizedLevels, rgbToPixelValues } from "../../src/image/tensor.ts";
import { cosineSimilarity } from "../../src/vector/similarity.ts";
import { configureSharp } from "../../workers/decode.ts";
import { createSession } from "../../workers/session.ts";
import { defaultModel } from "../support/default-model.ts";
import { answerQuestions } from "./child.ts";

export interface ShrinkQuestion {
  readonly path: string;
  /** 2, 4 or 8: libjpeg decodes only so many of each block's coefficients as this leaves. */
  readonly shrink: number;
}

export interface ShrinkAnswer {
  readonly wholeMs: number;
  readonly shrunkMs: number;
  /** Of the 224×224 pixels, in levels of 255. */
  readonly pixels: { readonly largest: number; readonly mean: number };
  /** Cosine of the model's inputs, and of its vectors. */
  readonly inputCosine: number;
  readonly vectorCosine: number;
}

const [imageTower = ""] = process.argv.slice(2);
const { architecture, preprocessing } = defaultModel;
const { dimensions, vision } = architecture;
const { side } = vision;
const levels = normalizedLevels(preprocessing);
const resample = createResampler(side);

configureSharp();
const session = await createSession({ imageTower, dimensions, side, threads: 1 });

answerQuestions<ShrinkQuestion, ShrinkAnswer>(async ({ path, shrink }) => {
  const whole = await read(path, 1);
  const shrunk = await read(path, shrink);
  const differences = whole.rgb.map((level, at) => Math.abs(level - (shrunk.rgb[at] ?? 0)));
  const [a, b] = [await embed(whole.rgb), await embed(shrunk.rgb)];
  return {
    wholeMs: whole.tookMs,
    shrunkMs: shrunk.tookMs,
    pixels: {
      largest: differences.reduce((most, one) => Math.max(most, one), 0),
      mean: differences.reduce((sum, one) => sum + one, 0) / differences.length,
    },
    inputCosine: cosineSimilarity(a.values, b.values),
    vectorCosine: cosineSimilarity(a.vector, b.vector),
  };
});

/** uint8, [side, side, 3], and how long decoding and resizing took. */
async function read(path: string, shrink: number) {
  const startedAt = performance.now();
  const { width = 0, height = 0 } = await sharp(path).metadata();
  const picture = sharp(path, { sequentialRead: true });
  // Sides that divide by 8 are left for libjpeg to shrink, so that libvips has nothing to resize.
  const decoded =
    shrink === 1
      ? picture
      : picture.resize(width / shrink, height / shrink, { fit: "fill", fastShrinkOnLoad: true });
  const { data, info } = await decoded.raw().toBuffer({ resolveWithObject: true });
  const rgb = resample({ rgb: data, width: info.width, height: info.height, orientation: 1 });
  return { rgb, tookMs: performance.now() - startedAt };
}

async function embed(rgb: Uint8Array) {
  const values = new Float32Array(3 * side * side);
  rgbToPixelValues(rgb, levels, values, 0);
  return { values, vector: await session.run(values, 1) };
}
