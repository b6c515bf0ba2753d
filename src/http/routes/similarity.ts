/** `POST /similarity`: how well texts fit one image. */
import { Elysia } from "elysia";
import type { Comparer } from "../../core/similarity.ts";
import { Problem } from "../../errors.ts";
import { callOf } from "../call.ts";
import {
  type EmbeddingRoutes,
  imageProblems,
  imageSourceOf,
  modelCheck,
  modelProblems,
  urlProblems,
} from "../embedding.ts";
import { problemAnswers } from "../problem-answers.ts";
import { similarityAnswer, similarityBody, similarityQuery } from "../schemas.ts";

/** What the route needs. */
export interface SimilarityRoutes
  extends Pick<EmbeddingRoutes, "calls" | "readers" | "localModel"> {
  readonly comparer: Comparer;
}

export function similarityRoutes({ comparer, calls, readers, localModel }: SimilarityRoutes) {
  return new Elysia({ normalize: false }).post(
    "/similarity",
    async ({ body, query, request }) => {
      const call = callOf(calls, request);
      const asked = {
        source: imageSourceOf(body),
        texts: body.texts,
        model: query.model ?? localModel,
        hold: call.ticket?.hold,
        trail: call.trail,
      };
      const comparison = await comparer.compare(asked, request.signal, call.timings);
      if (comparison instanceof Problem) throw comparison;
      const { model, matches } = comparison;
      call.model = model;
      return { status: "success" as const, model, results: [...matches] };
    },
    {
      parse: readers.jsonWithImageAndTexts(modelCheck(comparer, localModel)),
      body: similarityBody,
      query: similarityQuery,
      response: {
        200: similarityAnswer,
        ...problemAnswers([...modelProblems, ...imageProblems, "invalid-base64", ...urlProblems]),
      },
      detail: {
        tags: ["Text"],
        summary: "Compare an image with texts",
        description:
          "Brings the image as `image_url` or as `image_base64`. Answers with the cosine similarity of each text, and with the probability that it is the one of the texts that fits. Nothing is kept.",
      },
    },
  );
}
