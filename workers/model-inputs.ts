import type {
  DecodeOptions,
  ImageBytes,
  ImageInput,
  ModelInputs,
  PixelInput,
  ProblemMessage,
} from "../src/backends/protocol.ts";
import { createClipTokenizer } from "../src/text/clip-tokenizer.ts";
import { parseVocabulary } from "../src/text/clip-vocabulary.ts";
import { loadClipMerges } from "./clip-merges.ts";
import { openImage } from "./decode.ts";
import { createPreprocess, type Preprocess } from "./preprocess.ts";
import { problemMessage } from "./problem-message.ts";

interface InputsWanted {
  readonly images: readonly ImageBytes[];
  readonly texts: readonly string[];
  readonly decode: DecodeOptions;
  readonly input: PixelInput;
}

/** Prepares images and texts exactly as they are prepared for the model; an image that fails is an outcome. */
export async function readModelInputs({
  images,
  texts,
  decode,
  input,
}: InputsWanted): Promise<ModelInputs> {
  const outcomes: ModelInputs["images"][number][] = [];
  // One after the other, as in a batch: decoded pixels are large.
  const preprocess = createPreprocess(input);
  for (const image of images)
    outcomes.push(await readImageInput(image, decode, input.side, preprocess));
  const tokenize = createClipTokenizer(parseVocabulary(await loadClipMerges()));
  return { images: outcomes, tokenIds: texts.map((text) => tokenize(text).ids) };
}

async function readImageInput(
  image: ImageBytes,
  decode: DecodeOptions,
  side: number,
  preprocess: Preprocess,
): Promise<ImageInput | { readonly problem: ProblemMessage }> {
  const pixelValues = new Float32Array(3 * side * side);
  try {
    const opened = await openImage(image, decode);
    await preprocess(opened, pixelValues, 0);
    const hash = new Bun.CryptoHasher("sha256").update(new Uint8Array(pixelValues.buffer));
    return { facts: opened.facts, pixelValuesSha256: hash.digest("hex") };
  } catch (error) {
    return { problem: problemMessage(error) };
  }
}
