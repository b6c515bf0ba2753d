/** The three `/vectorize-*` requests: an image by URL, as base64 or as an upload, kept and embedded. */
import { Elysia } from "elysia";
import type { SavedFile } from "../../store/downloads.ts";
import {
  type EmbeddingRoutes,
  echoedFilename,
  embeddingProblems,
  embedFor,
  keepProblems,
  modelCheck,
  urlProblems,
} from "../embedding.ts";
import { jsonAnswer } from "../json-answer.ts";
import { problemAnswers } from "../problem-answers.ts";
import {
  embeddingQuery,
  vectorizeBase64Answer,
  vectorizeBase64Body,
  vectorizeUploadAnswer,
  vectorizeUploadBody,
  vectorizeUrlAnswer,
  vectorizeUrlBody,
} from "../schemas.ts";

const keeping = { keep: true, defaultModel: "nv-dinov2" } as const;
const tags = ["Embeddings"];

export function vectorizeRoutes(deps: EmbeddingRoutes) {
  const check = modelCheck(deps.embedder, keeping.defaultModel);
  return new Elysia({ normalize: false })
    .post(
      "/vectorize-image",
      async ({ body, query, request, set }) => {
        const source = { kind: "url", url: body.image_url } as const;
        const embedded = await embedFor(deps, request, query, { ...keeping, source });
        return jsonAnswer<typeof vectorizeUrlAnswer.static>(
          { request, set },
          keysOf(embedded, { source_url: body.image_url }),
        );
      },
      {
        parse: deps.readers.json(check),
        body: vectorizeUrlBody,
        query: embeddingQuery,
        response: {
          200: vectorizeUrlAnswer,
          ...problemAnswers([...embeddingProblems, ...urlProblems, ...keepProblems]),
        },
        detail: {
          tags,
          summary: "Embed an image by URL, sent as JSON",
          description: "Answers with an NV-DINOv2 vector unless `model` says otherwise.",
        },
      },
    )
    .post(
      "/vectorize-image-base64",
      async ({ body, query, request, set }) => {
        const source = { kind: "memory", bytes: new Uint8Array(body.image_base64) } as const;
        const embedded = await embedFor(deps, request, query, { ...keeping, source });
        const { filename } = body;
        const named =
          typeof filename !== "string" ? {} : { original_filename: echoedFilename(filename) };
        return jsonAnswer<typeof vectorizeBase64Answer.static>(
          { request, set },
          keysOf(embedded, named),
        );
      },
      {
        parse: deps.readers.jsonWithImage(check),
        body: vectorizeBase64Body,
        query: embeddingQuery,
        response: {
          200: vectorizeBase64Answer,
          ...problemAnswers([...embeddingProblems, "invalid-base64", ...keepProblems]),
        },
        detail: {
          tags,
          summary: "Embed an image sent as base64 in JSON",
          description: "Answers with an NV-DINOv2 vector unless `model` says otherwise.",
        },
      },
    )
    .post(
      "/vectorize-image-upload",
      async ({ body, query, request, set }) => {
        const source = { kind: "upload", part: body.file } as const;
        const embedded = await embedFor(deps, request, query, { ...keeping, source });
        const original_filename = echoedFilename(body.file.originalFilename);
        const keys = keysOf(embedded, { original_filename });
        return jsonAnswer<typeof vectorizeUploadAnswer.static>({ request, set }, keys);
      },
      {
        parse: deps.readers.upload(check),
        body: vectorizeUploadBody,
        query: embeddingQuery,
        response: {
          200: vectorizeUploadAnswer,
          ...problemAnswers([...embeddingProblems, ...keepProblems]),
        },
        detail: {
          tags,
          summary: "Embed an uploaded file",
          description:
            "Answers with an NV-DINOv2 vector unless `model` says otherwise. The file streams to disk as it arrives.",
        },
      },
    );
}

/** The keys that all three answers have, around those of one; the vector comes last, where it hides nothing. */
function keysOf<Own extends object>(embedded: Awaited<ReturnType<typeof embedFor>>, own: Own) {
  const { saved, vector, model, dimensions, thumbnail } = embedded;
  const shown = thumbnail === undefined ? {} : { thumbnail };
  const head = { status: "success" as const, model, dimensions, ...own };
  return { ...head, ...savedKeys(saved), ...shown, vector };
}

function savedKeys(saved: SavedFile | undefined) {
  if (saved === undefined) throw new Error("a request that keeps its bytes has no saved file");
  return { saved_as: saved.savedAs, path: saved.path };
}
