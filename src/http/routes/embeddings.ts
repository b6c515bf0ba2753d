/**
 * `POST /embeddings`: one image, several models. `GET /embeddings/{sha256}`: the vector of an image that was here
 * before, for clients that hash first.
 */
import { Elysia } from "elysia";
import type { EachEmbedder, OfOneModel, Report } from "../../core/embed-with-each.ts";
import type { Known, LookUp } from "../../core/look-up.ts";
import { Problem } from "../../errors.ts";
import { limits } from "../../limits.ts";
import type { ContentCoding } from "../../net/accept-encoding.ts";
import { matchesEntityTag } from "../../net/if-none-match.ts";
import type { ApiKeyNames } from "../../store/api-keys.ts";
import { createRecentlyUsed } from "../../store/recently-used.ts";
import { jsonBytes } from "../../vector/json-bytes.ts";
import { callOf } from "../call.ts";
import { codingFor, codingHeaders, compressNow, variesByCoding } from "../content-coding.ts";
import {
  type EmbeddingRoutes,
  embeddingProblems,
  imageSourceOf,
  tellCache,
  urlProblems,
} from "../embedding.ts";
import { jsonAnswer, takeHeaders } from "../json-answer.ts";
import { nothingHere, problemBody } from "../problem.ts";
import { problemAnswers } from "../problem-answers.ts";
import {
  eachModelAnswer,
  eachModelBody,
  eachModelQuery,
  imageParams,
  lookUpAnswer,
  lookUpQuery,
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
  // By their entity tags, which no two bodies share: most of an answer's time is in its making.
  const bodies = createRecentlyUsed<Uint8Array<ArrayBuffer>>(limits.maxLookUpBodyBytes);
  const entityTag = createEntityTags();
  return new Elysia({ normalize: false }).get(
    "/embeddings/:sha256",
    ({ params, query, request, set }) => {
      const sha256 = params.sha256.toLowerCase();
      const { model = localModel, normalize = false } = query;
      const known = lookUp({ sha256, model, normalize });
      if (known instanceof Problem) throw known;
      callOf(calls, request).model = known.model;
      // A vector is always long enough to be compressed.
      const coding = codingFor(request, Number.POSITIVE_INFINITY);
      const etag = entityTag(known, normalize, coding);
      const headers = {
        ...takeHeaders(set),
        etag,
        // What a model's name stands for may change, and vectors may be deleted: so it is asked for every time.
        "cache-control": "private, no-cache",
        vary: variesByCoding,
      };
      if (matchesEntityTag(request.headers.get("if-none-match"), etag)) {
        return new Response(null, { status: 304, headers });
      }
      let body = bodies.get(etag);
      if (body === undefined) {
        const bytes = bodyOf(known);
        body = coding === undefined ? bytes : compressNow(bytes, coding);
        bodies.set(etag, body, body.length);
      }
      const type = { "content-type": "application/json" };
      return new Response(body, { headers: { ...headers, ...type, ...codingHeaders(coding) } });
    },
    {
      // Before the digest is looked at: strangers learn nothing here, not even its form.
      transform: () => {
        if (apiKeys() === undefined) throw nothingHere();
      },
      params: imageParams,
      query: lookUpQuery,
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
    async ({ body, query, request, set }) => {
      const call = callOf(calls, request);
      const asked = {
        source: imageSourceOf(body),
        models: body.models,
        normalize: query.normalize ?? false,
        isReported: body.report ?? false,
        thumbnail: query.thumbnail ?? false,
        hold: call.ticket?.hold,
        trail: call.trail,
      };
      const embedded = await eachEmbedder.embed(asked, request.signal, call.timings);
      if (embedded instanceof Problem) throw embedded;
      const { sha256, results, report, thumbnail, cache } = embedded;
      const made = results.flatMap(({ outcome }) => ("model" in outcome ? [outcome.model] : []));
      call.model = made.join(", ");
      tellCache(call, cache);
      return jsonAnswer<typeof eachModelAnswer.static>(
        { request, set },
        {
          status: "success",
          sha256,
          ...(report && { report: toReportAnswer(report) }),
          ...(thumbnail !== undefined && { thumbnail }),
          results: results.map((one) => toResult(one, call.requestId)),
        },
      );
    },
    {
      parse: readers.jsonWithImage(() => undefined),
      body: eachModelBody,
      query: eachModelQuery,
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
  return { model, dimensions: vector.length, vector };
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
    ...(crop && { crop: { ...crop } }),
    hints: [...report.hints],
  };
}

/** As `lookUpAnswer` describes it. */
function bodyOf({ sha256, model, vector: asked }: Known): Uint8Array<ArrayBuffer> {
  const vector = asked();
  return jsonBytes({ status: "success", sha256, model, dimensions: vector.length, vector });
}

/** Makes entity tags, and remembers them as long as the vectors themselves are. */
function createEntityTags() {
  const tags = new WeakMap<Float32Array, Map<string, string>>();
  return (known: Known, isUnit: boolean, coding: ContentCoding | undefined): string => {
    const ofVector = tags.get(known.kept) ?? new Map<string, string>();
    if (ofVector.size === 0) tags.set(known.kept, ofVector);
    return ofVector.getOrInsertComputed(`${isUnit} ${coding}`, () => entityTagOf(known, coding));
  };
}

/**
 * Strong: the same tag is the same bytes, also after the vector was made anew on another processor, and in another
 * coding there are others (RFC 9110, section 8.8.3.3).
 */
function entityTagOf({ sha256, model, vector }: Known, coding: ContentCoding | undefined): string {
  const hasher = new Bun.CryptoHasher("sha256").update(`${sha256} ${model} `).update(vector());
  const digest = hasher.digest("base64url").slice(0, 22);
  return coding === undefined ? `"${digest}"` : `"${digest}-${coding}"`;
}
