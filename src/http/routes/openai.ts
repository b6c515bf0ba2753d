/** `/v1`: embeddings as OpenAI's clients ask for them, of texts and of images. */
import { Elysia } from "elysia";
import type { EmbeddedMany, ManyEmbedder, ManyInput } from "../../core/embed-many.ts";
import type { CacheStatus } from "../../core/recall.ts";
import { type FieldFault, Problem } from "../../errors.ts";
import { fieldName, type ReadInput } from "../../text/embedding-inputs.ts";
import { toBase64 } from "../../vector/base64.ts";
import { type Call, callOf } from "../call.ts";
import { type EmbeddingRoutes, embeddingProblems, tellCache, urlProblems } from "../embedding.ts";
import { jsonAnswer } from "../json-answer.ts";
import { openAiCode } from "../openai-error.ts";
import { openAiErrors } from "../problem-answers.ts";
import {
  openAiEmbeddingsAnswer,
  openAiEmbeddingsBody,
  openAiModel,
  openAiModelParams,
  openAiModels,
} from "../schemas.ts";
import { vectorTexts } from "./embed-text.ts";

/** What the routes need. */
export interface OpenAiRoutes extends Pick<EmbeddingRoutes, "calls" | "readers" | "embedder"> {
  readonly manyEmbedder: ManyEmbedder;
}

const tags = ["OpenAI"];

export function openAiRoutes({ manyEmbedder, embedder, calls, readers }: OpenAiRoutes) {
  return new Elysia({ normalize: false })
    .post(
      "/v1/embeddings",
      async ({ body, request, set }) => {
        const call = callOf(calls, request);
        refuseDimensions(manyEmbedder, body.model, body.dimensions ?? undefined);
        const asked = {
          inputs: body.input.map(toManyInput),
          model: body.model,
          normalize: body.normalize ?? true,
          includesFailures: body.on_error === "include",
          memory: call.ticket,
          trail: call.trail,
        };
        const embedded = await manyEmbedder.embed(asked, request.signal, call.timings);
        if ("problem" in embedded) {
          const { problem, index = -1 } = embedded;
          const pointer = body.input[index]?.pointer;
          throw pointer === undefined ? aboutModel(problem) : located(problem, pointer);
        }
        const { model, outcomes, tokens } = embedded;
        call.model = model;
        tellCache(call, cacheStatusOf(call));
        const isBase64 = body.encoding_format === "base64";
        const embeddings = await formatted(outcomes, isBase64);
        return jsonAnswer<typeof openAiEmbeddingsAnswer.static>(
          { request, set },
          {
            object: "list",
            data: outcomes.map((outcome, index) => ({
              object: "embedding" as const,
              index,
              embedding: embeddings[index] ?? new Float32Array(),
              ...(outcome instanceof Problem && {
                error: itemError(outcome, body.input[index]?.pointer ?? ""),
              }),
            })),
            model,
            usage: { prompt_tokens: tokens, total_tokens: tokens },
          },
        );
      },
      {
        parse: readers.jsonWithInputs,
        body: openAiEmbeddingsBody,
        response: {
          200: openAiEmbeddingsAnswer,
          ...openAiErrors([...embeddingProblems, "invalid-base64", ...urlProblems]),
        },
        detail: {
          tags,
          summary: "Embed texts and images, as OpenAI's clients ask for it",
          description:
            "Works with OpenAI's SDKs, and with whatever is built on them, by changing the base URL and the model's name. Beyond OpenAI's own it takes images. One bad input fails the whole request, and the error names it, unless `on_error` is `include`. `usage` counts the tokens that the model reads of each text, its marks of start and end included; images count nothing. Nothing is kept.",
        },
      },
    )
    .get(
      "/v1/models",
      () => ({
        object: "list" as const,
        data: embedder.backends.map(({ id }) => modelOf(id)),
      }),
      {
        response: { 200: openAiModels, ...openAiErrors(["unauthorized", "internal-error"]) },
        detail: {
          tags,
          summary: "List the models",
          description: "Every model that is served here, also while it is not ready.",
        },
      },
    )
    .get(
      "/v1/models/:id",
      ({ params: { id } }) => {
        const found = manyEmbedder.find(id);
        if (found instanceof Problem) throw aboutModel(found);
        return modelOf(id);
      },
      {
        params: openAiModelParams,
        response: {
          200: openAiModel,
          ...openAiErrors(["unauthorized", "unknown-model", "internal-error"]),
        },
        detail: { tags, summary: "Get a model", description: "By its plain id, or its exact one." },
      },
    );
}

/** Whether all images were remembered; nothing where none was looked for. */
function cacheStatusOf({ trail: { cache } }: Call): CacheStatus | undefined {
  if (cache.hit + cache.miss === 0) return undefined;
  return cache.miss === 0 ? "hit" : "miss";
}

/** When it was made is not known, and OpenAI's clients want a number. */
function modelOf(id: string) {
  return { id, object: "model" as const, created: 0, owned_by: "imagesvc" };
}

/** A model of another length would be another model: nothing is cut. @throws Problem `validation-failed`. */
function refuseDimensions(
  manyEmbedder: ManyEmbedder,
  model: string,
  dimensions: number | undefined,
): void {
  const found = manyEmbedder.find(model);
  if (found instanceof Problem) throw aboutModel(found);
  if (dimensions === undefined || dimensions === found.dimensions) return;
  const detail = `The vectors of ${model} have ${found.dimensions} dimensions: leave dimensions out, or send ${found.dimensions}.`;
  const message = `expected ${found.dimensions}`;
  throw new Problem("validation-failed", detail, { faults: [{ pointer: "/dimensions", message }] });
}

function toManyInput(input: ReadInput): ManyInput {
  switch (input.kind) {
    case "text":
      return { kind: "text", text: input.text };
    case "url":
      return { kind: "image", source: { kind: "url", url: input.url } };
    case "bytes":
      return { kind: "image", source: { kind: "memory", bytes: new Uint8Array(input.bytes) } };
    case "unusable":
      return { kind: "unusable", problem: new Problem(input.code, input.detail) };
    default:
      return input satisfies never;
  }
}

/** The same problem, naming the input that it is about. */
function located(problem: Problem, pointer: string): Problem {
  const detail = `${fieldName(pointer)}: ${problem.message}`;
  return withFaults(problem, detail, [{ pointer, message: problem.message }]);
}

function aboutModel(problem: Problem): Problem {
  if (problem.code !== "unknown-model") return problem;
  return withFaults(problem, problem.message, [{ pointer: "/model", message: "not served here" }]);
}

function withFaults(problem: Problem, detail: string, faults: readonly FieldFault[]): Problem {
  const { code, cause, retryAfterS, originStatus, isPermanent } = problem;
  return new Problem(code, detail, {
    cause,
    faults,
    isPermanent,
    ...(retryAfterS !== undefined && { retryAfterS }),
    ...(originStatus !== undefined && { originStatus }),
  });
}

/** Why an input of a request that goes on has no vector. */
function itemError({ code, message }: Problem, pointer: string) {
  return { message, param: fieldName(pointer), code: openAiCode(code) };
}

/** The one place where these answers' vectors get their form; nothing in the place of one that there is not. */
async function formatted(
  outcomes: EmbeddedMany["outcomes"],
  isBase64: boolean,
): Promise<readonly (string | Uint8Array)[]> {
  const vectors = outcomes.map((one) => (one instanceof Problem ? new Float32Array() : one));
  return isBase64 ? vectors.map(toBase64) : await vectorTexts(vectors);
}
