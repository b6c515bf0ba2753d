/**
 * A client of imagesvc for browsers, Node, Bun and Deno. It stands alone: nothing is imported, so that it can be
 * published, or copied into an app. What it sends and reads is checked against `/openapi.json` by a test.
 */

/** Why a request failed, as the service names it. */
export type ProblemCode =
  | "malformed-body"
  | "invalid-base64"
  | "invalid-image-url"
  | "unauthorized"
  | "forbidden-address"
  | "forbidden-origin"
  | "not-found"
  | "method-not-allowed"
  | "body-too-large"
  | "too-many-pixels"
  | "unsupported-media-type"
  | "unsupported-image"
  | "validation-failed"
  | "unknown-model"
  | "undecodable-image"
  | "rate-limited"
  | "internal-error"
  | "origin-error"
  | "upstream-error"
  | "upstream-unauthorized"
  | "overloaded"
  | "model-unavailable"
  | "upstream-rate-limited"
  | "shutting-down"
  | "origin-timeout"
  | "upstream-timeout"
  | "inference-timeout"
  | "storage-full";

/** Why there is no answer of the service at all: nobody answered, or somebody else did. */
export type TransportCode = "no-answer" | "unexpected-answer";

/** What is known of a failure. */
export interface ProblemDetails {
  /** One of the two lists, or a word that a later service has. */
  readonly code: ProblemCode | TransportCode | (string & Record<never, never>);
  /** HTTP status; 0 where nobody answered. */
  readonly status: number;
  /** The same for every failure of this code. */
  readonly title: string;
  /** One sentence that says what to change: fit to be shown. */
  readonly detail: string;
  /** Under it the operator finds the log line. */
  readonly requestId?: string | undefined;
  /** Seconds until it makes sense to try again. */
  readonly retryAfterS?: number | undefined;
  /** What the image's own host answered. */
  readonly originStatus?: number | undefined;
  /** What is wrong with which field. */
  readonly errors?: readonly { readonly pointer: string; readonly message: string }[] | undefined;
}

/** A request that failed. `message` is the `detail`. */
export class ImagesvcProblem extends Error implements ProblemDetails {
  override readonly name = "ImagesvcProblem";
  readonly code: ProblemDetails["code"];
  readonly status: number;
  readonly title: string;
  readonly detail: string;
  readonly requestId: string | undefined;
  readonly retryAfterS: number | undefined;
  readonly originStatus: number | undefined;
  readonly errors: NonNullable<ProblemDetails["errors"]>;

  constructor(details: ProblemDetails, options?: { readonly cause?: unknown }) {
    super(details.detail, options);
    this.code = details.code;
    this.status = details.status;
    this.title = details.title;
    this.detail = details.detail;
    this.requestId = details.requestId;
    this.retryAfterS = details.retryAfterS;
    this.originStatus = details.originStatus;
    this.errors = details.errors ?? [];
  }
}

/** How often and how long a request is tried. */
export interface RetryOptions {
  /** Tries in all; 4 unless told, 1 for no second one. */
  readonly attempts?: number;
  /** ms of waiting in all; 30,000 unless told. A `Retry-After` beyond what is left ends the trying at once. */
  readonly budgetMs?: number;
}

export interface ClientOptions {
  /** Where the service is, such as `http://localhost:8000`; in a page of its own it may be left out. */
  readonly baseUrl?: string | URL;
  /** Sent as `Authorization: Bearer …`; a function is asked at each request. */
  readonly apiKey?: string | (() => string | undefined);
  readonly retry?: RetryOptions;
  /** ms that one try may take, its upload included; 330,000 unless told, a little more than the service allows. */
  readonly timeoutMs?: number;
  /** Another `fetch`, for tests and proxies. Upload progress then has one step. */
  readonly fetch?: (url: string, init: RequestInit) => Promise<Response>;
}

/** How far an upload is. */
export interface Progress {
  readonly sentBytes: number;
  /** Of the whole body, which is a little more than the image. */
  readonly totalBytes: number;
}

export interface RequestOptions {
  /** Ends the request and the work that is done for it; the promise rejects with the signal's reason. */
  readonly signal?: AbortSignal | undefined;
  /** Told as the body leaves: in browsers through `XMLHttpRequest`, elsewhere once. */
  readonly onProgress?: ((progress: Progress) => void) | undefined;
  /** Told before each wait for another try. */
  readonly onRetry?: ((problem: ImagesvcProblem, waitMs: number) => void) | undefined;
}

export interface EmbedOptions extends RequestOptions {
  /** `clip-ViT-B-32` unless told. */
  readonly model?: string | undefined;
  /** Whether the vector is scaled to unit length. */
  readonly normalize?: boolean | undefined;
  /** Whether the answer brings a small picture of what was embedded. */
  readonly thumbnail?: boolean | undefined;
}

/** One stage of a request in the service. */
export interface Stage {
  readonly name: string;
  readonly ms: number;
}

/** What every answer has. */
export interface Answered {
  /** Exactly what made the vector, such as `clip-ViT-B-32@synthetic`. */
  readonly model: string;
  /** The stages of `Server-Timing`, `total` last; none where a foreign page may not read it. */
  readonly stages: readonly Stage[];
  readonly requestId: string | undefined;
}

/** An image's vector. */
export interface Embedding extends Answered {
  readonly dimensions: number;
  /** float32 values. */
  readonly vector: readonly number[];
  /** Name of the kept file, where one is kept. */
  readonly savedAs?: string | undefined;
  /** `data:` URI of a small JPEG or PNG, where it was asked for and could be made. */
  readonly thumbnail?: string | undefined;
}

/** What several models made of one image. */
export interface EachEmbedding extends Omit<Answered, "model"> {
  /** Lower-case hex digest of the bytes. */
  readonly sha256: string;
  /** One a model, in the order asked; at least one has a vector. */
  readonly results: readonly OfOneModel[];
  /** `data:` URI of a small JPEG or PNG, where it was asked for and could be made. */
  readonly thumbnail?: string | undefined;
}

/** What one of them made of it: a vector of float32 values, or why there is none. */
export type OfOneModel =
  | { readonly model: string; readonly vector: readonly number[]; readonly problem?: undefined }
  | { readonly model: string; readonly problem: ImagesvcProblem; readonly vector?: undefined };

/** The vectors of texts, in the order given. */
export interface TextEmbeddings extends Answered {
  readonly dimensions: number;
  readonly vectors: readonly (readonly number[])[];
  /** Of each text: whether the model takes no longer one, so that its end was left out. */
  readonly truncated: readonly boolean[];
}

/** How well texts fit an image. */
export interface Comparison extends Answered {
  /** One a text, in the order given. */
  readonly results: readonly Match[];
}

/** How well one text fits. */
export interface Match {
  readonly text: string;
  /** From -1 to 1. */
  readonly cosine: number;
  /** That it is the one of the texts that fits. */
  readonly probability: number;
  /** Whether its end was left out. */
  readonly truncated: boolean;
}

/** A model of the service, and whether it serves. */
export interface ModelState {
  /** Its exact id. */
  readonly id: string;
  readonly state: "ready" | "loading" | "unavailable";
  /** Why not, and what to do. */
  readonly why?: string | undefined;
  readonly retryAfterS?: number | undefined;
}

/** An image: an absolute http(s) URL that the service fetches, a `data:` URI, or bytes with or without a name. */
export type ImageInput = string | Blob;

export interface Client {
  /** The vector of an image. An image that is named by its URL is not kept by the service. */
  embedImage(image: ImageInput, options?: EmbedOptions): Promise<Embedding>;
  /** The vectors of an image by several models, from one upload; the service keeps nothing. */
  embedImageWithEach(
    image: ImageInput,
    models: readonly string[],
    options?: Omit<EmbedOptions, "model">,
  ): Promise<EachEmbedding>;
  /** The vectors of up to 256 texts, by a model that knows images too. */
  embedTexts(
    texts: readonly string[],
    options?: Omit<EmbedOptions, "thumbnail">,
  ): Promise<TextEmbeddings>;
  /** How well 1 to 64 texts fit an image. */
  compare(
    image: ImageInput,
    texts: readonly string[],
    options?: Omit<EmbedOptions, "thumbnail" | "normalize">,
  ): Promise<Comparison>;
  /**
   * The vector of an image that was embedded before, by the SHA-256 of its bytes; undefined where it is not known, or
   * where the service has no API keys.
   */
  lookUp(sha256: string, options?: Omit<EmbedOptions, "thumbnail">): Promise<Embedding | undefined>;
  /** Which models there are, and whether they serve. */
  models(options?: RequestOptions): Promise<readonly ModelState[]>;
}

/** Makes a client. Its methods throw {@link ImagesvcProblem}, and the signal's reason once that has aborted. */
export function createClient(options: ClientOptions = {}): Client {
  const { apiKey, timeoutMs = 330_000 } = options;
  const base = String(options.baseUrl ?? "").replace(/\/+$/, "");

  async function once(request: ApiRequest, asked: RequestOptions): Promise<Reply> {
    const key = typeof apiKey === "function" ? apiKey() : apiKey;
    const headers = { ...request.headers, ...(key && { authorization: `Bearer ${key}` }) };
    const limit = AbortSignal.timeout(timeoutMs);
    const signal = asked.signal ? AbortSignal.any([asked.signal, limit]) : limit;
    const url = `${base}${request.path}`;
    const useXhr = asked.onProgress && !options.fetch && typeof XMLHttpRequest !== "undefined";
    const sending = { ...request, url, headers, signal, onProgress: asked.onProgress };
    try {
      return await (useXhr ? sendByXhr(sending) : sendByFetch(sending, options.fetch ?? fetch));
    } catch (cause) {
      asked.signal?.throwIfAborted();
      throw noAnswer(limit.aborted, cause);
    }
  }

  /** @throws ImagesvcProblem unless it is an answer. */
  async function attempt(request: ApiRequest, asked: RequestOptions): Promise<Answer> {
    const answer = readAnswer(await once(request, asked));
    if (answer.status < 400 || request.accepts?.includes(answer.status)) return answer;
    throw problemOf(answer);
  }

  async function send(request: ApiRequest, asked: RequestOptions = {}): Promise<Answer> {
    const { attempts = 4, budgetMs = 30_000 } = options.retry ?? {};
    let leftMs = budgetMs;
    for (let count = 1; ; count++) {
      try {
        return await attempt(request, asked);
      } catch (problem) {
        if (!(problem instanceof ImagesvcProblem)) throw problem;
        const waitMs = waitBefore(problem, count);
        if (count >= attempts || waitMs > leftMs) throw problem;
        leftMs -= waitMs;
        asked.onRetry?.(problem, waitMs);
        await pause(waitMs, asked.signal);
      }
    }
  }

  return {
    embedImage: async (image, asked = {}) =>
      embeddingOf(await send(imageRequest(image, asked), asked)),
    embedImageWithEach: async (image, models, asked = {}) => {
      const path = `/embeddings${queryOf({ ...asked, model: "" })}`;
      const given = await namedOrInline(image);
      asked.signal?.throwIfAborted();
      return eachOf(await send(jsonRequest(path, { ...given, models }), asked));
    },
    embedTexts: async (texts, asked = {}) => {
      const path = `/embed-text${queryOf(asked)}`;
      const answer = await send(jsonRequest(path, { text: texts }), asked);
      const { dimensions, vectors, truncated } = answer.body;
      if (!isListOf(vectors, isVector) || !isListOf(truncated, isBoolean)) throw unexpected(answer);
      return { ...answeredOf(answer), dimensions: Number(dimensions), vectors, truncated };
    },
    compare: async (image, texts, asked = {}) => {
      const path = `/similarity${queryOf(asked)}`;
      const given = await namedOrInline(image);
      const answer = await send(jsonRequest(path, { ...given, texts }), asked);
      const { results } = answer.body;
      if (!isListOf(results, isMatch)) throw unexpected(answer);
      return { ...answeredOf(answer), results };
    },
    lookUp: async (sha256, asked = {}) => {
      const path = `/embeddings/${encodeURIComponent(sha256)}${queryOf(asked)}`;
      const answer = await send({ method: "GET", path, accepts: [404] }, asked);
      return answer.body["code"] === "not-found" ? undefined : embeddingOf(answer);
    },
    models: async (asked) => {
      const answer = await send({ method: "GET", path: "/readyz", accepts: [503] }, asked);
      const { models } = answer.body;
      if (!isListOf(models, isModel)) throw unexpected(answer);
      return models.map(({ id, state, why, retry_after }) => ({
        ...{ id, state, why },
        retryAfterS: retry_after,
      }));
    },
  };
}

/**
 * The cosine of the angle between two vectors: 1 where they point the same way.
 *
 * @throws RangeError where their lengths differ.
 */
export function cosineSimilarity(a: readonly number[], b: readonly number[]): number {
  if (a.length !== b.length) throw new RangeError(`${a.length} and ${b.length} dimensions`);
  let [dot, aa, bb] = [0, 0, 0];
  a.forEach((x, index) => {
    const y = b[index] ?? 0;
    dot += x * y;
    aa += x * x;
    bb += y * y;
  });
  return dot / Math.sqrt(aa * bb);
}

type Json = Readonly<Record<string, unknown>>;

/** A request of the API. */
interface ApiRequest {
  readonly method: "GET" | "POST";
  readonly path: string;
  readonly headers?: Readonly<Record<string, string>>;
  readonly body?: string | FormData;
  /** Statuses beyond 400 that are answers, too. */
  readonly accepts?: readonly number[];
}

/** The same on its way. */
interface Sending extends ApiRequest {
  readonly url: string;
  readonly headers: Readonly<Record<string, string>>;
  readonly signal: AbortSignal;
  readonly onProgress: RequestOptions["onProgress"];
}

/** The head of what came back. */
interface ReplyHead {
  readonly status: number;
  readonly header: (name: string) => string | null;
}

/** What came back. */
interface Reply extends ReplyHead {
  readonly text: string;
}

/** The same, read. */
interface Answer extends ReplyHead {
  readonly body: Json;
}

function imageRequest(image: ImageInput, asked: EmbedOptions): ApiRequest {
  const query = queryOf(asked);
  if (typeof image !== "string") {
    const body = new FormData();
    body.append("file", image, "name" in image ? String(image.name) : "image");
    return { method: "POST", path: `/vectorize-image-upload${query}`, body };
  }
  if (/^data:/i.test(image)) {
    return jsonRequest(`/vectorize-image-base64${query}`, { image_base64: image });
  }
  return {
    method: "POST",
    path: `/upload${query}`,
    headers: { "content-type": "application/x-www-form-urlencoded" },
    body: `imageUrl=${encodeURIComponent(image)}`,
  };
}

function jsonRequest(path: string, body: object): ApiRequest {
  const headers = { "content-type": "application/json" };
  return { method: "POST", path, headers, body: JSON.stringify(body) };
}

function queryOf({ model = "clip-ViT-B-32", normalize, thumbnail }: EmbedOptions): string {
  const query = new URLSearchParams({
    ...(model && { model }),
    ...(normalize && { normalize: "true" }),
    ...(thumbnail && { thumbnail: "true" }),
  });
  return query.size === 0 ? "" : `?${query}`;
}

/** An image as JSON carries it. */
async function namedOrInline(image: ImageInput): Promise<object> {
  if (typeof image === "string") {
    return /^data:/i.test(image) ? { image_base64: image } : { image_url: image };
  }
  const bytes = new Uint8Array(await image.arrayBuffer());
  let text = "";
  for (let at = 0; at < bytes.length; at += 32_768) {
    text += String.fromCharCode(...bytes.subarray(at, at + 32_768));
  }
  return { image_base64: btoa(text) };
}

async function sendByFetch(
  { url, method, headers, body, signal, onProgress }: Sending,
  fetchIt: NonNullable<ClientOptions["fetch"]>,
): Promise<Reply> {
  const init = { method, headers, signal, ...(body !== undefined && { body }) };
  const response = await fetchIt(url, init);
  if (onProgress) {
    const totalBytes = typeof body === "string" ? body.length : 0;
    onProgress({ sentBytes: totalBytes, totalBytes });
  }
  const text = await response.text();
  return { status: response.status, text, header: (name) => response.headers.get(name) };
}

/** As much of XMLHttpRequest as is used here, which Node's and Bun's types do not have. */
interface Xhr {
  readonly upload: {
    onprogress: ((event: { readonly loaded: number; readonly total: number }) => void) | null;
  };
  readonly status: number;
  readonly responseText: string;
  onload: (() => void) | null;
  onerror: (() => void) | null;
  onabort: (() => void) | null;
  open(method: string, url: string): void;
  setRequestHeader(name: string, value: string): void;
  getResponseHeader(name: string): string | null;
  send(body?: string | FormData): void;
  abort(): void;
}
declare const XMLHttpRequest: (new () => Xhr) | undefined;

/** `fetch` cannot tell how far an upload is. */
function sendByXhr(sending: Sending): Promise<Reply> {
  return new Promise((resolve, reject) => {
    if (XMLHttpRequest === undefined) throw new TypeError("there is no XMLHttpRequest");
    const { url, method, headers, body, signal, onProgress } = sending;
    const xhr = new XMLHttpRequest();
    const leave = () => xhr.abort();
    xhr.open(method, url);
    for (const [name, value] of Object.entries(headers)) xhr.setRequestHeader(name, value);
    xhr.upload.onprogress = ({ loaded, total }) =>
      onProgress?.({ sentBytes: loaded, totalBytes: total });
    const end = (settle: () => void) => () => {
      signal.removeEventListener("abort", leave);
      settle();
    };
    xhr.onload = end(() => {
      const header = (name: string) => xhr.getResponseHeader(name);
      resolve({ status: xhr.status, text: xhr.responseText, header });
    });
    xhr.onerror = end(() => reject(new TypeError("the request got no answer")));
    xhr.onabort = end(() => reject(signal.reason));
    signal.addEventListener("abort", leave);
    if (signal.aborted) reject(signal.reason);
    else xhr.send(body);
  });
}

/** @throws ImagesvcProblem if it is no JSON object. */
function readAnswer({ text, ...head }: Reply): Answer {
  try {
    const body: unknown = JSON.parse(text);
    if (isObject(body)) return { ...head, body };
  } catch {
    // An error page of a proxy, say.
  }
  throw unexpected(head);
}

function isObject(value: unknown): value is Json {
  return typeof value === "object" && value !== null;
}

function isListOf<T>(value: unknown, isOne: (one: unknown) => one is T): value is readonly T[] {
  return Array.isArray(value) && value.every(isOne);
}

function isNumber(value: unknown): value is number {
  return typeof value === "number";
}

function isBoolean(value: unknown): value is boolean {
  return typeof value === "boolean";
}

function isVector(value: unknown): value is readonly number[] {
  return isListOf(value, isNumber);
}

function isMatch(value: unknown): value is Match {
  return isObject(value) && isNumber(value["cosine"]) && isNumber(value["probability"]);
}

function isModel(value: unknown): value is ModelState & { readonly retry_after?: number } {
  return isObject(value) && typeof value["id"] === "string" && typeof value["state"] === "string";
}

function textOf(value: unknown): string | undefined {
  return typeof value === "string" ? value : undefined;
}

function answeredOf(answer: Answer): Answered {
  return { model: String(answer.body["model"]), ...tracesOf(answer) };
}

function tracesOf({ header }: Answer): Omit<Answered, "model"> {
  const timing = header("server-timing") ?? "";
  const stages = [...timing.matchAll(/([\w-]+);dur=([\d.]+)/g)].map(([, name = "", ms]) => ({
    name,
    ms: Number(ms),
  }));
  const requestId = header("x-request-id") ?? undefined;
  return { stages, requestId };
}

function embeddingOf(answer: Answer): Embedding {
  const { body } = answer;
  const vector = body["vector"] ?? body["embedding"];
  if (!isVector(vector)) throw unexpected(answer);
  return {
    ...answeredOf(answer),
    dimensions: vector.length,
    vector,
    savedAs: textOf(body["saved_as"]),
    thumbnail: textOf(body["thumbnail"]),
  };
}

function eachOf(answer: Answer): EachEmbedding {
  const { sha256, results, thumbnail } = answer.body;
  const toResult = (one: Json): OfOneModel => {
    const model = String(one["model"]);
    const { vector, problem } = one;
    if (isVector(vector)) return { model, vector };
    if (!isObject(problem)) throw unexpected(answer);
    return {
      model,
      problem: problemOf({ ...answer, status: Number(problem["status"]), body: problem }),
    };
  };
  if (!isListOf(results, isObject)) throw unexpected(answer);
  return {
    ...tracesOf(answer),
    sha256: String(sha256),
    results: results.map(toResult),
    thumbnail: textOf(thumbnail),
  };
}

function problemOf(answer: Answer): ImagesvcProblem {
  const { status, header, body } = answer;
  const { code, title, detail, request_id, origin_status, errors } = body;
  if (typeof code !== "string" || typeof detail !== "string") return unexpected(answer);
  return new ImagesvcProblem({
    ...{ code, status, title: textOf(title) ?? code, detail },
    requestId: textOf(request_id),
    retryAfterS: secondsOf(header("retry-after")),
    originStatus: isNumber(origin_status) ? origin_status : undefined,
    errors: isListOf(errors, isFault) ? errors : [],
  });
}

function isFault(value: unknown): value is ImagesvcProblem["errors"][number] {
  return isObject(value) && typeof value["message"] === "string";
}

/** `Retry-After` (RFC 9110 §10.2.3), which a proxy may write as a date. */
function secondsOf(header: string | null): number | undefined {
  if (!header) return undefined;
  const seconds = /^\d+$/.test(header) ? Number(header) : (Date.parse(header) - Date.now()) / 1000;
  return Number.isNaN(seconds) ? undefined : Math.max(0, seconds);
}

function noAnswer(isLate: boolean, cause: unknown): ImagesvcProblem {
  const detail = isLate
    ? "The service did not answer in time: try again, or send a smaller picture."
    : "The service did not answer: check that it runs at this address, and that CORS_ORIGINS lists this page where it is another's.";
  return new ImagesvcProblem(
    { code: "no-answer", status: 0, title: "There is no answer", detail },
    { cause },
  );
}

function unexpected({ status, header }: ReplyHead): ImagesvcProblem {
  return new ImagesvcProblem({
    code: "unexpected-answer",
    status,
    title: "Somebody else answered",
    detail: `The answer (HTTP ${status}) is none of imagesvc's: check the address, and any proxy before it.`,
    retryAfterS: secondsOf(header("retry-after")),
  });
}

/** ms before the next try; infinity where another would fail like this one. */
function waitBefore({ code, status, retryAfterS }: ImagesvcProblem, count: number): number {
  // So that those who were refused together do not come back together.
  const spread = 1 + Math.random() / 10;
  if (code === "no-answer") return 250 * 2 ** count * spread;
  const isPassing = (status === 429 || status === 503) && retryAfterS !== undefined;
  return isPassing ? retryAfterS * 1000 * spread : Number.POSITIVE_INFINITY;
}

function pause(ms: number, signal: AbortSignal | undefined): Promise<void> {
  return new Promise((resolve, reject) => {
    const end = (settle: () => void) => () => {
      clearTimeout(timer);
      signal?.removeEventListener("abort", leave);
      settle();
    };
    const leave = end(() => reject(signal?.reason));
    const timer = setTimeout(end(resolve), ms);
    signal?.addEventListener("abort", leave);
    if (signal?.aborted) leave();
  });
}
