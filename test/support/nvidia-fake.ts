/**
 * A stand-in for NVIDIA's hosted NV-DINOv2. Left alone it checks every request as strictly as it can and
 * answers a vector that depends on the image's bytes alone; `next` makes it misbehave.
 */

/** A request as the fake got it. */
export interface FakeRequest {
  readonly method: string;
  readonly path: string;
  readonly headers: Headers;
  readonly body: string;
  /** Aborts when the client hangs up. */
  readonly signal: AbortSignal;
}

/** How one request is answered. */
export type Behaviour = (request: FakeRequest) => Response | Promise<Response>;

export interface NvidiaFake {
  /** Its origin, such as `http://127.0.0.1:4711`. */
  readonly url: string;
  /** Every request so far, oldest first. */
  readonly requests: readonly FakeRequest[];
  /** Answers the next requests, polls too, in this order; afterwards it behaves again. */
  next(...behaviours: readonly Behaviour[]): void;
  stop(): Promise<void>;
}

interface FakeOptions {
  /** 0 takes a free one. */
  readonly port?: number;
  /** The only key that is let in. */
  readonly key?: string;
}

const invokePath = "/v1/cv/nvidia/nv-dinov2";
const statusPath = "/v2/nvcf/pexec/status/";
const dimensions = 1536;

/** Starts the fake on the loopback address. */
export function startNvidiaFake({ port = 0, key = "nvapi-fake" }: FakeOptions = {}): NvidiaFake {
  const requests: FakeRequest[] = [];
  const script: Behaviour[] = [];
  /** Images whose result is polled for, by request id. */
  const pending = new Map<string, Uint8Array>();

  async function behave(request: FakeRequest): Promise<Response> {
    if (request.headers.get("authorization") !== `Bearer ${key}`) {
      return refuse(401, "Authentication failed.");
    }
    if (request.method === "GET" && request.path.startsWith(statusPath)) {
      const image = pending.get(request.path.slice(statusPath.length));
      return image ? answer(image) : refuse(404, "Request id is unknown or has expired.");
    }
    if (request.method !== "POST" || request.path !== invokePath) {
      return refuse(404, "Function is not found for account.");
    }
    const checked = await checkRequest(request);
    return checked instanceof Response ? checked : answer(checked);
  }

  const server = Bun.serve({
    hostname: "127.0.0.1",
    port,
    // The slow answers are meant to be slow.
    idleTimeout: 0,
    async fetch(incoming) {
      const { method, headers, signal } = incoming;
      const { pathname } = new URL(incoming.url);
      const request = { method, path: pathname, headers, body: await incoming.text(), signal };
      requests.push(request);
      const response = await (script.shift() ?? behave)(request);
      const requestId = response.headers.get("nvcf-reqid");
      const image = imageOf(request.body);
      if (requestId && image) pending.set(requestId, image.bytes);
      return response;
    },
  });
  return {
    url: server.url.origin,
    requests,
    next: (...behaviours) => void script.push(...behaviours),
    stop: () => server.stop(true),
  };
}

/** What the hosted model might answer instead of a vector. */
export const misbehave = {
  /** 401 with a problem. */
  unauthorized: () => refuse(401, "Authentication failed."),
  forbidden: () => refuse(403, "Not entitled to this function."),
  creditsUsedUp: () => refuse(402, "Cloud credits expired."),
  notFound: () => refuse(404, "Function '…': Not found for account."),
  gone: () => refuse(410, "The function has reached its end of life."),
  tooLarge: () => refuse(413, "Payload too large."),
  unprocessable: () => refuse(422, "The image cannot be processed."),
  /** 429 without `Retry-After`. */
  rateLimited: () => refuse(429, "Too many requests."),
  /** 500 without a body. */
  internalError: () => new Response(null, { status: 500 }),
  /** 502 with HTML. */
  badGateway: () => html(502, "<html><h1>502 Bad Gateway</h1></html>"),
  /** 504 with a problem that is cut off. */
  gatewayTimeout: () => problem(504, '{"title":"Gateway Timeout","det'),
  /** 503 that asks to come back after some seconds. */
  outage: (retryAfter = "10800") => {
    return () => problem(503, '{"detail":"Down."}', { "Retry-After": retryAfter });
  },
  /** 202, also to a poll; the result is there at the next poll that is answered well. */
  pending: ({ method, path }: FakeRequest) => {
    const requestId = method === "GET" ? path.slice(statusPath.length) : crypto.randomUUID();
    return new Response(null, { status: 202, headers: { "NVCF-REQID": requestId } });
  },
  pendingWithoutId: () => new Response(null, { status: 202 }),
  /** Sends nothing until the client hangs up. */
  slow: async ({ signal }: FakeRequest) => {
    const { promise, resolve } = Promise.withResolvers<void>();
    signal.addEventListener("abort", () => resolve(), { once: true });
    if (!signal.aborted) await promise;
    return new Response(null, { status: 500 });
  },
  /** A 200 whose connection breaks in the middle of the body. */
  resetMidBody: () => new Response(brokenStream('{"object":"list","metadata":[{"emb')),
  redirect: (location: string) => () => {
    return new Response(null, { status: 307, headers: { Location: location } });
  },
  wrongDimension: () => vectors(vectorOf(new Uint8Array()).slice(1)),
  noMetadata: () => vectors(),
  twoEntries: () => vectors(vectorOf(new Uint8Array()), vectorOf(new Uint8Array([1]))),
  /** NaN as Python's `json` writes it, which is not JSON. */
  notANumber: () => new Response(`{"metadata":[{"embedding":[${"NaN,".repeat(1535)}NaN]}]}`),
  /** Valid JSON, but infinite as float32. */
  tooLargeNumber: () => vectors(vectorOf(new Uint8Array()).with(7, 1e39)),
  notJson: () => html(200, "<html>Sign in to the hotel's network</html>"),
  emptyBody: () => new Response(null, { status: 200 }),
  /** More than any answer needs. */
  endlessBody: () => new Response(endlessStream()),
} as const satisfies Record<string, Behaviour | ((argument: string) => Behaviour)>;

/** Answers as the real one does, whatever the request. */
export function answer(image: Uint8Array): Response {
  return vectors(vectorOf(image));
}

/** The vector of an image: numbers in [-1, 1) that depend on its bytes alone. */
export function vectorOf(image: Uint8Array): number[] {
  const digest = Bun.SHA256.hash(image, "hex");
  return Array.from({ length: dimensions }, (_, index) => {
    return Number(Bun.hash.xxHash32(`${digest} ${index}`)) / 2 ** 31 - 1;
  });
}

function vectors(...embeddings: readonly (readonly number[])[]): Response {
  return Response.json({
    object: "list",
    model: "nv-dinov2@fake",
    created: 0,
    metadata: embeddings.map((embedding, index) => ({ embedding, frame_num: index })),
    usage: { inference_response_time: 0 },
  });
}

/** Returns the image of a request that is right in every respect, else the refusal. */
async function checkRequest({ headers, body }: FakeRequest): Promise<Uint8Array | Response> {
  if (headers.get("content-type") !== "application/json") return refuse(415, "Not JSON.");
  if (headers.get("accept") !== "application/json") return refuse(422, "Accept is missing.");
  if (!/^[1-9]\d*$/.test(headers.get("nvcf-poll-seconds") ?? "")) {
    return refuse(422, "NVCF-POLL-SECONDS is missing.");
  }
  const image = imageOf(body);
  if (image === undefined) return refuse(422, "messages[].content.image_url.url is missing.");
  if (image.base64Chars >= 180_000) return refuse(413, "The inline image is too large.");
  const format = await decodedFormat(image.bytes);
  if (format === undefined) return refuse(422, "The image cannot be decoded.");
  return format === image.mime ? image.bytes : refuse(422, `This is ${format}.`);
}

/** The inline image of a body of the documented shape, which has nothing but what is documented. */
function imageOf(body: string) {
  const [, url = "", mime = "", base64 = ""] =
    /"(data:(image\/(?:jpeg|png));base64,([A-Za-z0-9+/]+={0,2}))"/.exec(body) ?? [];
  const documented = { messages: [{ content: { type: "image_url", image_url: { url } } }] };
  if (!Bun.deepEquals(parseJson(body), documented, true) || url === "") return undefined;
  return { mime, base64Chars: base64.length, bytes: Uint8Array.fromBase64(base64) };
}

function parseJson(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}

/** Media type of an image that Bun can decode; the service itself decodes with another library. */
async function decodedFormat(bytes: Uint8Array): Promise<string | undefined> {
  try {
    const { format } = await new Bun.Image(bytes).metadata();
    await new Bun.Image(bytes).resize(1, 1).png().bytes();
    return `image/${format}`;
  } catch {
    return undefined;
  }
}

function refuse(status: number, detail: string): Response {
  return problem(status, JSON.stringify({ type: "about:blank", title: "Error", status, detail }));
}

function problem(status: number, body: string, headers: Record<string, string> = {}): Response {
  const type = { "Content-Type": "application/problem+json" };
  return new Response(body, { status, headers: { ...type, ...headers } });
}

function html(status: number, body: string): Response {
  return new Response(body, { status, headers: { "Content-Type": "text/html" } });
}

function brokenStream(beginning: string): ReadableStream<Uint8Array> {
  let pulls = 0;
  return new ReadableStream({
    async pull(controller) {
      if (pulls++ === 0) return controller.enqueue(new TextEncoder().encode(beginning));
      await Bun.sleep(5);
      // Without a reason Bun breaks the connection and prints nothing.
      controller.error(undefined);
    },
  });
}

function endlessStream(): ReadableStream<Uint8Array> {
  const blanks = new Uint8Array(64 * 1024).fill(0x20);
  return new ReadableStream({ pull: (controller) => controller.enqueue(blanks) });
}
