/** `POST /embed-text`: one text or several become vectors that can be compared with those of images. */
import { Elysia } from "elysia";
import type { TextEmbedder } from "../../core/embed-text.ts";
import { Problem } from "../../errors.ts";
import { toShortestDecimals } from "../../vector/encoding.ts";
import { callOf } from "../call.ts";
import { type EmbeddingRoutes, modelCheck, modelProblems } from "../embedding.ts";
import { problemAnswers } from "../problem-answers.ts";
import { embedTextAnswer, embedTextBody, textQuery } from "../schemas.ts";

/** What the route needs. */
export interface TextRoutes extends Pick<EmbeddingRoutes, "calls" | "readers" | "localModel"> {
  readonly textEmbedder: TextEmbedder;
}

/** Vectors whose numbers are made in one turn: 1 to 2 ms. */
const vectorsATurn = 8;

export function embedTextRoutes({ textEmbedder, calls, readers, localModel }: TextRoutes) {
  return new Elysia({ normalize: false }).post(
    "/embed-text",
    async ({ body, query, request }) => {
      const call = callOf(calls, request);
      const { text } = body;
      const asked = {
        texts: typeof text === "string" ? [text] : text,
        model: query.model ?? localModel,
        normalize: query.normalize ?? false,
      };
      const embedded = await textEmbedder.embed(asked, request.signal, call.timings);
      if (embedded instanceof Problem) throw embedded;
      const { model, truncated } = embedded;
      call.model = model;
      const vectors = await toDecimals(embedded.vectors);
      const [vector] = vectors;
      if (vector === undefined) throw new Error("a text has no vector");
      const answer = { status: "success" as const, model, dimensions: vector.length };
      return typeof text === "string"
        ? { ...answer, truncated: truncated.includes(true), vector }
        : { ...answer, truncated: [...truncated], vectors };
    },
    {
      parse: readers.jsonWithTexts(modelCheck(textEmbedder, localModel)),
      body: embedTextBody,
      query: textQuery,
      response: { 200: embedTextAnswer, ...problemAnswers(modelProblems) },
      detail: {
        tags: ["Text"],
        summary: "Embed a text, or several",
        description:
          "Answers with CLIP vectors, which can be compared with those that CLIP makes of images. `truncated` says whether the end of a text was left out: the model reads 77 tokens.",
      },
    },
  );
}

/** The numbers of each vector to print; others get a turn in between, and before all of them become one text. */
export async function toDecimals(vectors: readonly Float32Array[]): Promise<number[][]> {
  const decimals: number[][] = [];
  for (const vector of vectors) {
    decimals.push(toShortestDecimals(vector));
    if (decimals.length % vectorsATurn === 0) await Bun.sleep(0);
  }
  return decimals;
}
