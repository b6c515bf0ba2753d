/**
 * `POST /embeddings`: one image, several models. `GET /embeddings/{sha256}`: the vector of an image that was here
 * before, for clients that hash first.
 */
import { Elysia } from "elysia";
import type { EachEmbedder, OfOneModel, Report } from "../../core/embed-with-each.ts";
import type { LookUp } from "../../core/look-up.ts";
import { Problem } from "../../errors.ts";
import { limits } from "../../limits.ts";
import { matchesEntityTag } from "../../net/if-none-match.ts";
import type { ApiKeyNames } from "../../store/api-keys.ts";
import { toShortestDecimals } from "../../vector/encoding.ts";
import { callOf } from "../call.ts";
import {
  type EmbeddingRoutes,
  embeddingProblems,
  imageSourceOf,
  urlProblems,
} from "../embedding.ts";
import { nothingHere, problemBody } from "../problem.ts";
import { problemAnswers } from "../problem-answers.ts";
import {
  eachModelAnswer,
  eachModelBody,
  embeddingQuery,
  imageParams,
  lookUpAnswer,
  normalizeQuery,
} from "../schemas.ts";

/** What the route needs. */
export interface EachRoutes extends Pick<EmbeddingRoutes, "calls" | "readers"> {
  readonly eachEmbedder: EachEmbedder;
}

/** What the route needs. */
export interface LookUpRoutes extends Pick<EmbeddingRoutes, "calls" | "localModel"> {
  readonly lookUp: LookUp;
  /** The API keys of the moment; undefined where none are configured. */
  readonly apiKeys: () => ApiKeyNames | undefined;
}

export function embeddingsRoutes({ lookUp, calls, apiKeys, localModel }: LookUpRoutes) {
  const bodies = createBodies(limits.maxLookUpBodyBytes);
  return new Elysia({ normalize: false }).get(
    "/embeddings/:sha256",
    ({ params, query, request, set }) => {
      const sha256 = params.sha256.toLowerCase();
      const { model = localModel, normalize = false } = query;
      const known = lookUp({ sha256, model, normalize });
      if (known instanceof Problem) throw known;
      callOf(calls, request).model = known.model;
      const etag = entityTagOf(known);
      // What a model's name stands for may change, and vectors may be deleted: so it is asked for every time.
      Object.assign(set.headers, { etag, "cache-control": "private, no-cache" });
      if (matchesEntityTag(request.headers.get("if-none-match"), etag)) {
        return new Response(null, { status: 304 });
      }
      const body = bodies.obtain(etag, () => bodyOf(known));
      return new Response(body, { headers: { "content-type": "application/json" } });
    },
    {
      // Before the digest is looked at: strangers learn nothing here, not even its form.
      transform: () => {
        if (apiKeys() === undefined) throw nothingHere();
      },
      params: imageParams,
      query: embeddingQuery,
      response: {
        200: lookUpAnswer,
        ...problemAnswers([
          "unauthorized",
          "not-found",
          "validation-failed",
          "unknown-model",
          "internal-error",
          "model-unavailable",
        ]),
      },
      detail: {
        tags: ["Embeddings"],
        summary: "Get the vector of an image that was embedded before",
        description:
          "Only where API keys are configured: otherwise it would tell strangers which pictures are known. Answers with a CLIP vector unless `model` says otherwise, and with 304 where `If-None-Match` names the `ETag` of what would be answered.",
      },
    },
  );
}

export function eachModelRoutes({ eachEmbedder, calls, readers }: EachRoutes) {
  return new Elysia({ normalize: false }).post(
    "/embeddings",
    async ({ body, query, request }) => {
      const call = callOf(calls, request);
      const asked = {
        source: imageSourceOf(body),
        models: body.models,
        normalize: query.normalize ?? false,
        isReported: body.report ?? false,
        hold: call.ticket?.hold,
      };
      const embedded = await eachEmbedder.embed(asked, request.signal, call.timings);
      if (embedded instanceof Problem) throw embedded;
      const { sha256, results, report, cache } = embedded;
      const made = results.flatMap(({ outcome }) => ("model" in outcome ? [outcome.model] : []));
      call.model = made.join(", ");
      // It would tell strangers which pictures are known here.
      if (cache !== undefined && call.apiKeyName !== undefined) {
        call.answerHeaders.set("x-cache", cache);
      }
      return {
        status: "success" as const,
        sha256,
        ...(report && { report: toReportAnswer(report) }),
        results: results.map((one) => toResult(one, call.requestId)),
      };
    },
    {
      parse: readers.jsonWithImage(() => undefined),
      body: eachModelBody,
      query: normalizeQuery,
      response: {
        200: eachModelAnswer,
        ...problemAnswers([...embeddingProblems, ...urlProblems, "invalid-base64"]),
      },
      detail: {
        tags: ["Embeddings"],
        summary: "Embed one image with several models",
        description:
          "The image is fetched, hashed and decoded once, and each model has an outcome of its own: a vector or a problem. Where no model has a vector, the first problem is the answer. `report` tells what was decoded. Nothing is kept.",
      },
    },
  );
}

function toResult({ asked, outcome }: OfOneModel, requestId: string) {
  if (outcome instanceof Problem) return { model: asked, problem: problemBody(outcome, requestId) };
  const { model, vector } = outcome;
  return { model, dimensions: vector.length, vector: toShortestDecimals(vector) };
}

function toReportAnswer(report: Report) {
  const { format, bytes, upright, crop, orientation, isTurned, colourSpace, hasAlpha } = report;
  return {
    format,
    bytes,
    width: upright.width,
    height: upright.height,
    orientation,
    orientation_applied: isTurned,
    colour_space: colourSpace,
    alpha: hasAlpha,
    frames: report.frames,
    ...(crop && { crop }),
    hints: [...report.hints],
  };
}

type Known = Exclude<ReturnType<LookUp>, Problem>;

/** As `lookUpAnswer` describes it. */
function bodyOf(known: Known): Uint8Array<ArrayBuffer> {
  const { sha256, model } = known;
  const vector = toShortestDecimals(known.vector);
  const answer = { status: "success", sha256, model, dimensions: vector.length, vector };
  return new TextEncoder().encode(JSON.stringify(answer));
}

/** Remembers bodies by their entity tags, which no two bodies share: most of an answer's time is in its decimals. */
function createBodies(maxBytes: number) {
  const bodies = new Map<string, Uint8Array<ArrayBuffer>>();
  let bytes = 0;

  function makeRoom(): void {
    for (const [etag, body] of bodies) {
      if (bytes <= maxBytes) return;
      bodies.delete(etag);
      bytes -= body.length;
    }
  }

  return {
    obtain: (etag: string, make: () => Uint8Array<ArrayBuffer>): Uint8Array<ArrayBuffer> => {
      const known = bodies.get(etag);
      const body = known ?? make();
      if (known === undefined) bytes += body.length;
      // Whatever was asked for last stands last.
      bodies.delete(etag);
      bodies.set(etag, body);
      makeRoom();
      return body;
    },
  };
}

/** Strong: the same tag is the same bytes, also after the vector was made anew on another processor. */
function entityTagOf({ sha256, model, vector }: Known): string {
  const hasher = new Bun.CryptoHasher("sha256").update(`${sha256} ${model} `).update(vector);
  return `"${hasher.digest("base64url").slice(0, 22)}"`;
}
