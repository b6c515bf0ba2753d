/** The use case: how well texts fit one image. */
import type { StageTimings } from "../backends/backend.ts";
import { Problem } from "../errors.ts";
import type { ImageSource } from "../sources/source.ts";
import { cosineSimilarity } from "../vector/similarity.ts";
import { softmax } from "../vector/softmax.ts";
import type { Embedder, EmbedInput } from "./embed.ts";
import type { TextEmbedder } from "./embed-text.ts";

export interface ComparisonInput {
  readonly source: ImageSource;
  readonly texts: readonly string[];
  /** Id of a model of images and texts, plain or exact. */
  readonly model: string;
  /** As in `EmbedInput`. */
  readonly hold?: EmbedInput["hold"];
  /** As in `EmbedInput`. */
  readonly trail?: EmbedInput["trail"];
}

/** How well one text fits the image. */
export interface Match {
  readonly text: string;
  /** Cosine similarity of the two vectors, from -1 to 1. */
  readonly cosine: number;
  /** Softmax of the logits of all texts of the request: they sum to 1. */
  readonly probability: number;
  /** Whether the end of the text was left out, because the model takes no longer one. */
  readonly truncated: boolean;
}

/** What a caller gets for an image and its texts. */
export interface Comparison {
  /** Exactly what made the image's vector. */
  readonly model: string;
  /** One a text, in the order given. */
  readonly matches: readonly Match[];
}

export interface Comparer {
  /** The problem that an image and texts for this model would meet now, if one is known before they are here. */
  refusal(model: string): Problem | undefined;
  /**
   * Compares one image with texts; nothing is kept.
   *
   * @param timings filled in as the stages end: of the image or the slowest text, whichever took longer.
   * @throws only what nobody expected, and the signal's reason when the caller left.
   */
  compare(
    input: ComparisonInput,
    signal: AbortSignal,
    timings: StageTimings,
  ): Promise<Comparison | Problem>;
}

interface ComparerOptions {
  readonly embedder: Pick<Embedder, "embed" | "refusal">;
  readonly textEmbedder: TextEmbedder;
}

/** CLIP's `exp(logit_scale)`, where its training clips it (Radford et al. 2021, arXiv:2103.00020, 2.5). */
const logitScale = 100;

/** Makes the use case from the two that it joins: image and texts wait in one queue, under the same bounds. */
export function createComparer({ embedder, textEmbedder }: ComparerOptions): Comparer {
  return {
    // A model without texts is told as such.
    refusal: (model) => textEmbedder.refusal(model) ?? embedder.refusal(model),
    compare: async ({ source, texts, model, hold, trail }, signal, timings) => {
      const ofTexts: StageTimings = {};
      // When one half fails, the other is nobody's any more.
      const end = new AbortController();
      const either = AbortSignal.any([signal, end.signal]);
      const asked = { model, normalize: false, trail };
      try {
        // A model without texts is refused before anything is done for the image.
        await orThrow(textEmbedder.embed({ ...asked, texts: [] }, either, {}));
        const [image, embedded] = await Promise.all([
          orThrow(embedder.embed({ ...asked, source, keep: false, hold }, either, timings)),
          orThrow(textEmbedder.embed({ ...asked, texts }, either, ofTexts)),
        ]);
        const cosines = embedded.vectors.map((vector) => cosineSimilarity(image.vector, vector));
        const probabilities = softmax(cosines.map((cosine) => logitScale * cosine));
        const matches = texts.map((text, index) => ({
          text,
          cosine: cosines[index] ?? 0,
          probability: probabilities[index] ?? 0,
          truncated: embedded.truncated[index] ?? false,
        }));
        return { model: image.model, matches };
      } catch (error) {
        if (error instanceof Problem) return error;
        throw error;
      } finally {
        end.abort();
        takeSlower(timings, ofTexts);
      }
    },
  };
}

/** A Problem as an exception: so that the first ends the wait for the rest. */
async function orThrow<Outcome>(outcome: Promise<Outcome | Problem>): Promise<Outcome> {
  const settled = await outcome;
  if (settled instanceof Problem) throw settled;
  return settled;
}

function takeSlower(timings: StageTimings, other: StageTimings): void {
  for (const stage of ["queue", "infer"] as const) {
    const ms = Math.max(timings[stage] ?? 0, other[stage] ?? 0);
    if (ms > 0) timings[stage] = ms;
  }
}
