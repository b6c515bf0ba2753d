/** What the requests for vectors share: from a validated request to a vector, or a thrown Problem. */
import type { Embedded, Embedder, EmbedInput } from "../core/embed.ts";
import type { CacheStatus } from "../core/recall.ts";
import { Problem, type ProblemCode } from "../errors.ts";
import { limits } from "../limits.ts";
import type { ImageSource } from "../sources/source.ts";
import { type Call, type Calls, callOf } from "./call.ts";
import type { ModelCheck, Readers } from "./readers.ts";

/** What a route needs to answer vectors. */
export interface EmbeddingRoutes {
  readonly embedder: Embedder;
  readonly calls: Calls;
  readonly readers: Readers;
  /** The model of the CLIP family that runs here. */
  readonly localModel: string;
}

/** The query as Elysia has validated it. */
interface EmbeddingQuery {
  readonly model?: string | undefined;
  readonly normalize?: boolean | undefined;
  readonly thumbnail?: boolean | undefined;
}

/** A vector, with what every answer says of it. */
interface EmbeddedAnswer {
  readonly model: string;
  readonly dimensions: number;
  readonly vector: Float32Array;
}

/**
 * Embeds the image of a request.
 *
 * @throws Problem, which `onError` renders.
 */
export async function embedFor(
  { embedder, calls }: EmbeddingRoutes,
  request: Request,
  query: EmbeddingQuery,
  input: Pick<EmbedInput, "source" | "keep"> & { readonly defaultModel: string },
): Promise<EmbeddedAnswer & Pick<Embedded, "saved" | "thumbnail">> {
  const call = callOf(calls, request);
  const { defaultModel, ...rest } = input;
  const asked = {
    ...rest,
    model: query.model ?? defaultModel,
    normalize: query.normalize ?? false,
    thumbnail: query.thumbnail ?? false,
    hold: call.ticket?.hold,
    trail: call.trail,
  };
  const embedded = await embedder.embed(asked, request.signal, call.timings);
  if (embedded instanceof Problem) throw embedded;
  call.model = embedded.model;
  const { model, vector, cache, ...saved } = embedded;
  tellCache(call, cache);
  return { model, dimensions: vector.length, vector, ...saved };
}

/** `X-Cache`, where it is known who asks: it would tell strangers which pictures are known here. */
export function tellCache(
  { apiKeyName, answerHeaders }: Pick<Call, "apiKeyName" | "answerHeaders">,
  cache: CacheStatus | undefined,
): void {
  if (cache !== undefined && apiKeyName !== undefined) answerHeaders.set("x-cache", cache);
}

/** What a route's reader asks before it reads a body. */
export function modelCheck(
  useCase: { readonly refusal: (model: string) => Problem | undefined },
  defaultModel: string,
): ModelCheck {
  return (model) => useCase.refusal(model ?? defaultModel);
}

/** What a client called its file: echoed, never used. */
export function echoedFilename(name: string): string {
  // What lies beyond can only matter where thousands of control characters come first.
  const printable = name.slice(0, limits.maxFilenameLookChars).replace(/\p{Cc}/gu, "");
  // Counted in code points, so that no character is cut in two.
  return Array.from(printable).slice(0, limits.maxFilenameChars).join("");
}

/** What brings one image in one of two ways, as Elysia has validated it. */
interface OneImage {
  readonly image_url?: string | null | undefined;
  /** Its bytes. */
  readonly image_base64?: ArrayBuffer | null | undefined;
}

/**
 * The image of a request that takes a URL or base64.
 *
 * @throws Problem `validation-failed` unless it brings exactly one.
 */
export function imageSourceOf({ image_url, image_base64 }: OneImage): ImageSource {
  const url = image_url ?? undefined;
  const bytes = image_base64 ?? undefined;
  if (url !== undefined && bytes === undefined) return { kind: "url", url };
  if (bytes !== undefined && url === undefined) {
    return { kind: "memory", bytes: new Uint8Array(bytes) };
  }
  const message = "expected exactly one of image_url and image_base64";
  const detail = "Send exactly one of image_url and image_base64.";
  throw new Problem("validation-failed", detail, { faults: [{ pointer: "", message }] });
}

/** The problems that every request for vectors can meet. */
export const modelProblems = [
  "malformed-body",
  "unauthorized",
  "forbidden-origin",
  "body-too-large",
  "unsupported-media-type",
  "validation-failed",
  "unknown-model",
  "rate-limited",
  "internal-error",
  "overloaded",
  "model-unavailable",
  "shutting-down",
  "inference-timeout",
] as const satisfies readonly ProblemCode[];

/** Those of a request that brings an image. */
export const imageProblems = [
  "too-many-pixels",
  "unsupported-image",
  "undecodable-image",
] as const satisfies readonly ProblemCode[];

/** The problems that every request for an image's vector can meet. */
export const embeddingProblems = [
  ...modelProblems,
  ...imageProblems,
  "upstream-error",
  "upstream-unauthorized",
  "upstream-rate-limited",
  "upstream-timeout",
] as const satisfies readonly ProblemCode[];

/** Those of a request that brings a URL. */
export const urlProblems = [
  "invalid-image-url",
  "forbidden-address",
  "origin-error",
  "origin-timeout",
] as const satisfies readonly ProblemCode[];

/** Those of a request that keeps what it gets. */
export const keepProblems = ["storage-full"] as const satisfies readonly ProblemCode[];
