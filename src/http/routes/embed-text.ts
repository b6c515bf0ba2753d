/** `POST /embed-text`: one text or several become vectors that can be compared with those of images. */
import { Elysia } from "elysia";
import type { TextEmbedder } from "../../core/embed-text.ts";
import { Problem } from "../../errors.ts";
import { vectorText } from "../../vector/vector-text.ts";
import { callOf } from "../call.ts";
import { type EmbeddingRoutes, modelCheck, modelProblems } from "../embedding.ts";
import { jsonAnswer } from "../json-answer.ts";
import { problemAnswers } from "../problem-answers.ts";
import { embedTextAnswer, embedTextBody, textQuery } from "../schemas.ts";

/** What the route needs. */
export interface TextRoutes extends Pick<EmbeddingRoutes, "calls" | "readers" | "localModel"> {
  readonly textEmbedder: TextEmbedder;
}

/** Vectors that are written in one turn: 1 to 2 ms. */
const vectorsATurn = 32;

export function embedTextRoutes({ textEmbedder, calls, readers, localModel }: TextRoutes) {
  return new Elysia({ normalize: false }).post(
    "/embed-text",
    async ({ body, query, request, set }) => {
      const call = callOf(calls, request);
      const { text } = body;
      const asked = {
        texts: typeof text === "string" ? [text] : text,
        model: query.model ?? localModel,
        normalize: query.normalize ?? false,
        trail: call.trail,
      };
      const embedded = await textEmbedder.embed(asked, request.signal, call.timings);
      if (embedded instanceof Problem) throw embedded;
      const { model, truncated } = embedded;
      call.model = model;
      const [vector] = embedded.vectors;
      if (vector === undefined) throw new Error("a text has no vector");
      const answer = { status: "success" as const, model, dimensions: vector.length };
      return jsonAnswer<typeof embedTextAnswer.static>(
        { request, set },
        typeof text === "string"
          ? { ...answer, truncated: truncated.includes(true), vector }
          : { ...answer, truncated, vectors: await vectorTexts(embedded.vectors) },
      );
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

/** The vectors as JSON; others get a turn in between, and before all of them become one answer. */
export async function vectorTexts(
  vectors: readonly Float32Array[],
): Promise<readonly Uint8Array[]> {
  const texts: Uint8Array[] = [];
  for (const vector of vectors) {
    texts.push(vectorText(vector));
    if (texts.length % vectorsATurn === 0) await Bun.sleep(0);
  }
  return texts;
}
