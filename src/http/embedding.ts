/** What the four documented requests share: from a validated request to a vector, or a thrown Problem. */
import type { Embedded, Embedder, EmbedInput } from "../core/embed.ts";
import { Problem, type ProblemCode } from "../errors.ts";
import { limits } from "../limits.ts";
import { toShortestDecimals } from "../vector/encoding.ts";
import { type Calls, callOf } from "./call.ts";
import type { Readers } from "./readers.ts";

/** What a route needs to answer vectors. */
export interface EmbeddingRoutes {
  readonly embedder: Embedder;
  readonly calls: Calls;
  readonly readers: Readers;
}

/** The query as Elysia has validated it. */
interface EmbeddingQuery {
  readonly model?: string | undefined;
  readonly normalize?: boolean | undefined;
}

/** A vector in the form that every answer has. */
interface EmbeddedAnswer {
  readonly model: string;
  readonly dimensions: number;
  /** In the shortest decimals that read back to the same float32. */
  readonly vector: number[];
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
): Promise<EmbeddedAnswer & Pick<Embedded, "saved">> {
  const call = callOf(calls, request);
  const { defaultModel, ...rest } = input;
  const asked = {
    ...rest,
    model: query.model ?? defaultModel,
    normalize: query.normalize ?? false,
  };
  const embedded = await embedder.embed(asked, request.signal, call.timings);
  if (embedded instanceof Problem) throw embedded;
  call.model = embedded.model;
  const { model, vector, ...saved } = embedded;
  return { model, dimensions: vector.length, vector: toShortestDecimals(vector), ...saved };
}

/** What a client called its file: echoed, never used. */
export function echoedFilename(name: string): string {
  // What lies beyond can only matter where thousands of control characters come first.
  const printable = name.slice(0, limits.maxFilenameLookChars).replace(/\p{Cc}/gu, "");
  // Counted in code points, so that no character is cut in two.
  return Array.from(printable).slice(0, limits.maxFilenameChars).join("");
}

/** The problems that every request for a vector can meet. */
export const embeddingProblems = [
  "malformed-body",
  "forbidden-origin",
  "body-too-large",
  "too-many-pixels",
  "unsupported-media-type",
  "unsupported-image",
  "validation-failed",
  "unknown-model",
  "undecodable-image",
  "internal-error",
  "upstream-error",
  "upstream-unauthorized",
  "overloaded",
  "model-unavailable",
  "upstream-rate-limited",
  "shutting-down",
  "upstream-timeout",
  "inference-timeout",
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
