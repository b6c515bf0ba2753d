/** `POST /upload`: the CLIP service's one request, an image URL in a form. */
import { Elysia } from "elysia";
import {
  type EmbeddingRoutes,
  embeddingProblems,
  embedFor,
  modelCheck,
  urlProblems,
} from "../embedding.ts";
import { jsonAnswer } from "../json-answer.ts";
import { problemAnswers } from "../problem-answers.ts";
import { embeddingQuery, uploadAnswer, uploadUrlBody } from "../schemas.ts";

export function uploadRoutes(deps: EmbeddingRoutes) {
  return new Elysia({ normalize: false }).post(
    "/upload",
    async ({ body, query, request, set }) => {
      const source = { kind: "url", url: body.imageUrl } as const;
      const { vector, model, dimensions, thumbnail } = await embedFor(deps, request, query, {
        source,
        keep: false,
        defaultModel: deps.localModel,
      });
      return jsonAnswer<typeof uploadAnswer.static>(
        { request, set },
        {
          message: "Image processed successfully",
          model,
          dimensions,
          ...(thumbnail !== undefined && { thumbnail }),
          embedding: vector,
        },
      );
    },
    {
      parse: deps.readers.form(modelCheck(deps.embedder, deps.localModel)),
      body: uploadUrlBody,
      query: embeddingQuery,
      response: {
        200: uploadAnswer,
        ...problemAnswers([...embeddingProblems, ...urlProblems]),
      },
      detail: {
        tags: ["Embeddings"],
        summary: "Embed an image by URL, sent as a form",
        description: "Answers with a CLIP vector unless `model` says otherwise. Nothing is kept.",
      },
    },
  );
}
