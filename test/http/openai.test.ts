/** `/v1`: what OpenAI's clients do not show; with those themselves it is tried in `test/clients/`. */
import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { readdir } from "node:fs/promises";
import { base64Of, postJson, send, until } from "../support/client.ts";
import { misbehave, type NvidiaFake, startNvidiaFake } from "../support/nvidia-fake.ts";
import { type Origin, respond, startOrigin, staySilent } from "../support/origin.ts";
import { type Bytes, makeJpeg, makePng, truncate } from "../support/pictures.ts";
import { connectRaw, headOf } from "../support/raw-client.ts";
import { startService, type TestService } from "../support/service.ts";

interface Answer {
  readonly object: string;
  readonly data: readonly {
    readonly object: string;
    readonly index: number;
    readonly embedding: readonly number[] | string;
    readonly error?: { readonly message: string; readonly param: string; readonly code: string };
  }[];
  readonly model: string;
  readonly usage: { readonly prompt_tokens: number; readonly total_tokens: number };
}

interface Fault {
  readonly message: string;
  readonly type: string;
  readonly param: string | null;
  readonly code: string;
}

const model = "clip-ViT-B-32";
let service: TestService;
let origin: Origin;
let nvidia: NvidiaFake;
let jpeg: Bytes;
let base64: string;

beforeAll(async () => {
  jpeg = await makeJpeg();
  base64 = base64Of(jpeg);
  nvidia = startNvidiaFake();
  origin = await startOrigin({
    "/image.jpg": respond({ body: jpeg }),
    "/page.html": respond({ body: "<html>" }),
    "/silent": staySilent,
  });
  service = await startService({
    FETCH_ALLOW: "127.0.0.1",
    NVIDIA_BASE_URL: nvidia.url,
    NVIDIA_API_KEY: "nvapi-fake",
    NVIDIA_REQUESTS_PER_MINUTE: "40",
  });
});

afterAll(async () => {
  await service.stop();
  await origin[Symbol.asyncDispose]();
  await nvidia.stop();
});

const post = (body: unknown, headers: Record<string, string> = {}) =>
  postJson(service, "/v1/embeddings", body, headers);

async function answerTo(body: object): Promise<Answer> {
  const response = await post({ model, ...body });
  const text = await response.text();
  expect({ status: response.status, text }).toMatchObject({ status: 200 });
  return JSON.parse(text);
}

/** Reads an answer that must be an error in OpenAI's shape, in every respect that all share. */
async function errorOf(response: Response, status: number): Promise<Fault> {
  const text = await response.text();
  expect({ status: response.status, text }).toMatchObject({ status });
  expect(response.headers.get("content-type")).toStartWith("application/json");
  expect(response.headers.get("x-request-id")).toBeTruthy();
  expect(response.headers.get("openai-processing-ms")).toMatch(/^\d+$/);
  const body: { readonly error: Fault } = JSON.parse(text);
  expect(Object.keys(body)).toEqual(["error"]);
  expect(Object.keys(body.error)).toEqual(["message", "type", "param", "code"]);
  expect(text).not.toMatch(/\/(tmp|work|home|src|node_modules)\/|\.ts\b|\\n|nvapi-/);
  return body.error;
}

function floatsOf(embedding: readonly number[] | string | undefined): Float32Array<ArrayBuffer> {
  if (typeof embedding !== "string") return Float32Array.from(embedding ?? []);
  return new Float32Array(Uint8Array.fromBase64(embedding).buffer);
}

async function imageVector(query = "&normalize=true"): Promise<Float32Array> {
  const path = `/vectorize-image-base64?model=${model}${query}`;
  const { vector } = JSON.parse(
    await (await postJson(service, path, { image_base64: base64 })).text(),
  );
  return Float32Array.from(vector);
}

/** In another batch the last bits may differ. */
function expectSame(got: Float32Array, wanted: Float32Array): void {
  expect(got.length).toBe(wanted.length);
  const differences = wanted.map((value, index) => Math.abs(value - (got[index] ?? Number.NaN)));
  expect(Math.max(...differences)).toBeLessThan(1e-5);
}

describe("inputs", () => {
  test("of every form stay in their order, and nothing is kept", async () => {
    const before = await readdir(service.downloadsDir);
    const input = [
      "a cat",
      { text: "a cat" },
      { type: "text", text: "a cat" },
      { image: base64 },
      { image: `data:image/jpeg;base64,${base64}` },
      { image: origin.url("/image.jpg") },
      { type: "image", image: base64 },
      { type: "image_url", image_url: { url: origin.url("/image.jpg") } },
      { type: "image_url", image_url: { url: `data:;base64,${base64}`, detail: "low" } },
      { image_url: base64 },
      "a dog",
    ];
    const { object, data, model: exact, usage } = await answerTo({ input });
    expect([object, exact]).toEqual(["list", "clip-ViT-B-32@synthetic"]);
    expect(data.map(({ index }) => index)).toEqual([...input.keys()]);
    expect(usage).toEqual({ prompt_tokens: 4 * 4, total_tokens: 4 * 4 });
    const vectors = data.map(({ embedding }) => floatsOf(embedding));
    for (const vector of vectors) expect(Math.hypot(...vector)).toBeCloseTo(1, 5);
    const text = floatsOf(data[0]?.embedding);
    for (const vector of vectors.slice(1, 3)) expectSame(vector, text);
    for (const vector of vectors.slice(3, 10)) expectSame(vector, await imageVector());
    expect(data[10]?.embedding).not.toEqual(data[0]?.embedding);
    expect((await readdir(service.downloadsDir)).sort()).toEqual(
      [...new Set([...before, `${Bun.SHA256.hash(jpeg, "hex")}.jpg`])].sort(),
    );
  });

  test("that are bare strings are images where modality says so", async () => {
    const { data } = await answerTo({ input: base64, modality: "image", normalize: false });
    expectSame(floatsOf(data[0]?.embedding), await imageVector(""));
  });

  test("may be 256 pictures, in a body that is parsed in a thread of its own", async () => {
    const pictures = await Promise.all(
      Array.from({ length: 8 }, (_, seed) =>
        makePng({ width: 40 + seed, height: 40, kind: "noise" }),
      ),
    );
    const input = Array.from({ length: 256 }, (_, index) => ({
      image: base64Of(pictures[index % 8] ?? jpeg),
    }));
    const { data, usage } = await answerTo({ input, encoding_format: "base64" });
    expect(data).toHaveLength(256);
    expect(usage.total_tokens).toBe(0);
    for (const { index, embedding } of data) {
      expectSame(floatsOf(embedding), floatsOf(data[index % 8]?.embedding));
    }
    const first = data.slice(0, 8).map(({ embedding }) => embedding);
    expect(new Set(first).size).toBe(8);
  }, 120_000);

  test("user and unknown fields change nothing, and null is as good as left out", async () => {
    const nothing = { dimensions: null, encoding_format: null, modality: null, on_error: null };
    const { data } = await answerTo({ input: "a", user: { any: 1 }, extra: [], ...nothing });
    expect(data).toHaveLength(1);
  });

  test("come back as little-endian float32 in base64", async () => {
    const asFloats = await answerTo({ input: "a cat", encoding_format: "float" });
    const asBase64 = await answerTo({ input: "a cat", encoding_format: "base64" });
    const bytes = Uint8Array.fromBase64(String(asBase64.data[0]?.embedding));
    const view = new DataView(bytes.buffer);
    const values = Array.from({ length: 512 }, (_, index) => view.getFloat32(index * 4, true));
    expect([...Float32Array.from(values)]).toEqual([...floatsOf(asFloats.data[0]?.embedding)]);
  });
});

const image = () => ({ image: base64 });

/** What is wrong, the body, the status, and what the error says. */
const bad: readonly (readonly [string, () => object | string, number, Partial<Fault>])[] = [
  [
    "more than 256 inputs",
    () => ({ model, input: Array.from({ length: 257 }, () => "a") }),
    400,
    {
      message:
        "The field input is wrong: expected at most 256 inputs: send the others in further requests.",
      param: "input",
      code: "validation-failed",
    },
  ],
  [
    "a mixed batch with one bad image",
    () => ({ model, input: ["a cat", image(), { image: base64Of(truncate(jpeg, 50)) }, "b"] }),
    400,
    {
      message:
        "input[2].image: The bytes start like a JPEG but are truncated or corrupt: send the complete file again.",
      param: "input[2].image",
      code: "undecodable-image",
    },
  ],
  [
    "base64 that is none, deep inside",
    () => ({ model, input: ["a", { type: "image_url", image_url: { url: "data:;base64,A*" } }] }),
    400,
    {
      message:
        'input[1].image_url.url: Character 2 of the image\'s base64 is "*", which is not base64: remove it.',
      param: "input[1].image_url.url",
      code: "invalid-base64",
    },
  ],
  [
    "an image's URL that is missing there",
    () => ({ model, input: [{ image: origin.url("/missing") }] }),
    502,
    { param: "input[0].image", code: "origin-error", type: "server_error" },
  ],
  [
    "an image's URL that leads to a page",
    () => ({ model, input: ["a", { image: origin.url("/page.html") }] }),
    400,
    { param: "input[1].image", code: "unsupported-image" },
  ],
  [
    "a URL of another scheme",
    () => ({ model, input: [{ image: "ftp://example.com/a.jpg" }] }),
    400,
    { param: "input[0].image", code: "invalid-image-url" },
  ],
  [
    "an unknown model",
    () => ({ model: "text-embedding-3-small", input: "a" }),
    404,
    {
      message:
        'The model "text-embedding-3-small" is not served here; these are: clip-ViT-B-32, clip-ViT-B-32@synthetic, nv-dinov2.',
      param: "model",
      code: "model_not_found",
    },
  ],
  [
    "text to a model of images alone",
    () => ({ model: "nv-dinov2", input: [image(), "a cat"] }),
    400,
    {
      message:
        "input[1]: The model nv-dinov2 embeds images, but no texts: send another input, or ask for another model.",
      param: "input[1]",
      code: "validation-failed",
    },
  ],
  [
    "dimensions that are no whole number",
    () => ({ model, input: "a", dimensions: 1.5 }),
    400,
    {
      message: "The field dimensions is wrong: expected integer or null.",
      param: "dimensions",
      code: "validation-failed",
    },
  ],
  [
    "lists of texts in a list",
    () => ({ model, input: [["a"]] }),
    400,
    {
      message: "The field input[0] is wrong: expected a text, or an object with an image.",
      param: "input[0]",
      code: "validation-failed",
    },
  ],
  [
    "other dimensions",
    () => ({ model, input: "a", dimensions: 256 }),
    400,
    {
      message:
        "The vectors of clip-ViT-B-32 have 512 dimensions: leave dimensions out, or send 512.",
      param: "dimensions",
      code: "validation-failed",
    },
  ],
  [
    "an unknown encoding_format",
    () => ({ model, input: "a", encoding_format: "int8" }),
    400,
    {
      message: "The field encoding_format is wrong: expected float or base64 or null.",
      param: "encoding_format",
      code: "validation-failed",
    },
  ],
  [
    "an unknown modality",
    () => ({ model, input: "a", modality: "audio" }),
    400,
    { param: "modality" },
  ],
  ["no model", () => ({ input: "a" }), 400, { param: "model", code: "validation-failed" }],
  ["no input", () => ({ model }), 400, { param: "input", code: "validation-failed" }],
  ["an empty list", () => ({ model, input: [] }), 400, { param: "input" }],
  ["a number among texts", () => ({ model, input: ["a", 5] }), 400, { param: "input[1]" }],
  ["an empty object", () => ({ model, input: [{}] }), 400, { param: "input[0]" }],
  [
    "an image and a text in one",
    () => ({ model, input: [{ text: "a", image: base64 }] }),
    400,
    { param: "input[0]" },
  ],
  [
    "a type that does not fit",
    () => ({ model, input: [{ type: "text", image: base64 }] }),
    400,
    { param: "input[0].type" },
  ],
  [
    "an image_url without its url",
    () => ({ model, input: [{ type: "image_url", image_url: {} }] }),
    400,
    { param: "input[0].image_url.url" },
  ],
  ["token ids", () => ({ model, input: [1, 2, 3] }), 400, { param: "input" }],
  ["lists of token ids", () => ({ model, input: [[1, 2], [3]] }), 400, { param: "input[0]" }],
  [
    "more token ids than a body may hold values",
    () => ({
      model,
      input: Array.from({ length: 20 }, () => Array.from({ length: 8191 }, () => 7)),
    }),
    400,
    { param: "input[0]", code: "validation-failed" },
  ],
  ["no JSON", () => "{", 400, { param: null, code: "malformed-body" }],
  ["a list for a body", () => "[]", 400, { code: "validation-failed" }],
];

describe("bad input", () => {
  test.each(bad)("%s", async (_what, body, status, fault) => {
    const given = body();
    const response = await post(given);
    expect(response.headers.get("retry-after")).toBeNull();
    expect(await errorOf(response, status)).toMatchObject({
      ...(status < 500 && { type: "invalid_request_error" }),
      ...fault,
    });
    // 404 of the image's host is as permanent as the rest.
    expect(response.headers.get("x-should-retry")).toBe("false");
  });

  test("token ids are refused with the reason", async () => {
    const { message } = await errorOf(await post({ model, input: [[1], [2]] }), 400);
    expect(message).toContain("check_embedding_ctx_length=False");
  });

  test("100 MB of base64 are refused by what their length announces, before any of them came", async () => {
    const client = await connectRaw(service);
    const headers = { "Content-Type": "application/json", "Content-Length": 100_000_000 };
    client.write(headOf("/v1/embeddings", headers));
    const answer = await client.received(/"code":"body-too-large"/);
    expect(answer).toStartWith("HTTP/1.1 400");
    client.hangUp();
  });

  test("one image over its limit is refused, the limit named, in a body that is not too large", async () => {
    await using small = await startService({ MAX_IMAGE_BYTES: "1024" });
    const input = [{ text: "a" }, { image: base64 }];
    const response = await postJson(small, "/v1/embeddings", { model, input });
    const { message, param, code } = await errorOf(response, 400);
    expect([param, code]).toEqual(["input[1].image", "body-too-large"]);
    expect(message).toContain("1024");
  });

  test("on_error=include answers the rest, and each failure beside its index", async () => {
    const input = ["a cat", { image: "A*" }, image(), { image: origin.url("/missing") }];
    const base64s = await answerTo({ input, on_error: "include", encoding_format: "base64" });
    const floats = await answerTo({ input, on_error: "include" });
    for (const [{ data }, empty] of [
      [base64s, ""],
      [floats, []],
    ] as const) {
      expect(data.map(({ index }) => index)).toEqual([0, 1, 2, 3]);
      expect(data.map(({ error }) => error?.code)).toEqual([
        undefined,
        "invalid-base64",
        undefined,
        "origin-error",
      ]);
      expect(data[1]).toMatchObject({ embedding: empty, error: { param: "input[1].image" } });
      expect(data[3]?.embedding).toEqual(empty);
      expect(floatsOf(data[2]?.embedding)).toHaveLength(512);
    }
  });

  test("on_error=include answers images where texts go to a model of images", async () => {
    const body = { model: "nv-dinov2", input: [image(), "a"], on_error: "include" };
    const { data, model: exact } = await answerTo(body);
    expect(exact).toBe("nv-dinov2@fake");
    expect(floatsOf(data[0]?.embedding)).toHaveLength(1536);
    expect(data[1]?.error?.code).toBe("validation-failed");
  });
});

test("a picture that NVIDIA does not take is not to be sent again", async () => {
  nvidia.next(misbehave.unprocessable);
  const input = [{ image: base64Of(await makePng({ seed: 77 })) }];
  const response = await post({ model: "nv-dinov2", input });
  expect(response.headers.get("x-should-retry")).toBe("false");
  expect(await errorOf(response, 502)).toMatchObject({ code: "upstream-error" });
});

describe("limits", () => {
  test("256 pictures that NVIDIA's quota does not allow are refused before the first is sent", async () => {
    const before = nvidia.requests.length;
    const input = Array.from({ length: 256 }, image);
    const response = await post({ model: "nv-dinov2", input, on_error: "include" });
    expect(response.headers.get("x-should-retry")).toBe("false");
    expect(response.headers.get("retry-after")).toBeNull();
    const { code, param } = await errorOf(response, 503);
    expect([code, param]).toEqual(["upstream-rate-limited", null]);
    expect(nvidia.requests.length).toBe(before);
  });

  test("pictures that were here before cost nothing of the quota", async () => {
    await using remembering = await startService({
      NVIDIA_BASE_URL: nvidia.url,
      NVIDIA_API_KEY: "nvapi-fake",
      NVIDIA_REQUESTS_PER_MINUTE: "2",
      CACHE_MAX_BYTES: "100000000",
      REQUEST_TIMEOUT_MS: "20000",
    });
    const ask = (input: readonly object[]) =>
      postJson(remembering, "/v1/embeddings", { model: "nv-dinov2", input });
    expect((await ask([image()])).status).toBe(200);
    const before = nvidia.requests.length;
    const many = Array.from({ length: 200 }, image);
    const { data }: Answer = JSON.parse(await (await ask(many)).text());
    expect(data).toHaveLength(200);
    expect(nvidia.requests.length).toBe(before);
    const fresh = await Promise.all(
      [1, 2].map(async (seed) => ({ image: base64Of(await makePng({ seed })) })),
    );
    await errorOf(await ask([...many, ...fresh]), 503);
    expect(nvidia.requests.length).toBe(before);
  });

  test("a client that leaves cancels every fetch of its request", async () => {
    const controller = new AbortController();
    const input = Array.from({ length: 20 }, () => ({ image: origin.url("/silent") }));
    const body = JSON.stringify({ model, input });
    const asked = send(service, "/v1/embeddings", {
      method: "POST",
      headers: { "Content-Type": "application/json" },
      body,
      signal: controller.signal,
    });
    await until(() => origin.openConnections() === 8);
    controller.abort();
    await asked.catch(() => {});
    await until(() => origin.openConnections() === 0);
    // Nothing of it goes on.
    expect((await post({ model, input: "a" })).status).toBe(200);
    expect(origin.openConnections()).toBe(0);
  });

  test("one failed image ends the others' fetches", async () => {
    const input = [
      ...Array.from({ length: 7 }, () => ({ image: origin.url("/silent") })),
      { image: origin.url("/missing") },
    ];
    expect(await errorOf(await post({ model, input }), 502)).toMatchObject({
      param: "input[7].image",
    });
    await until(() => origin.openConnections() === 0);
  });

  test("a short wait is a Retry-After", async () => {
    await using full = await startService({ QUEUE_LIMIT: "0" });
    const response = await postJson(full, "/v1/embeddings", { model, input: "a" });
    expect(response.headers.get("retry-after")).toMatch(/^[1-9]\d?$/);
    expect(response.headers.get("x-should-retry")).toBeNull();
    expect(await errorOf(response, 503)).toMatchObject({
      type: "server_error",
      code: "overloaded",
    });
  });
});

describe("everything else under /v1 has OpenAI's shape too", () => {
  test("a path that does not exist", async () => {
    const error = await errorOf(
      await send(service, "/v1/chat/completions", { method: "POST" }),
      404,
    );
    expect(error).toMatchObject({ code: "not-found", param: null });
  });

  test("a method that is not taken", async () => {
    const response = await send(service, "/v1/embeddings");
    expect(response.headers.get("allow")).toContain("POST");
    expect((await errorOf(response, 405)).code).toBe("method-not-allowed");
  });

  test("a media type that is not taken", async () => {
    const response = await send(service, "/v1/embeddings", { method: "POST", body: "a" });
    expect((await errorOf(response, 400)).code).toBe("unsupported-media-type");
  });

  test("a foreign page", async () => {
    const response = await post({ model, input: "a" }, { Origin: "https://evil.example" });
    const error = await errorOf(response, 403);
    expect(error).toMatchObject({ type: "permission_error", code: "forbidden-origin" });
  });

  test("a rebound name", async () => {
    const response = await send(service, "/v1/models", { headers: { Host: "evil.example" } });
    expect((await errorOf(response, 403)).code).toBe("forbidden-origin");
  });

  test("a trailing slash is served, and so is HEAD", async () => {
    expect((await send(service, "/v1/models/")).status).toBe(200);
    expect((await send(service, "/v1/models", { method: "HEAD" })).status).toBe(200);
  });

  test("a path that only begins so has problems", async () => {
    const response = await send(service, "/v10");
    expect(response.headers.get("content-type")).toBe("application/problem+json");
    expect(response.headers.get("openai-processing-ms")).toBeNull();
  });

  test("models have their exact ids as well", async () => {
    const response = await send(service, "/v1/models/clip-ViT-B-32@synthetic");
    expect(await response.json()).toEqual({
      id: "clip-ViT-B-32@synthetic",
      object: "model",
      created: 0,
      owned_by: "imagesvc",
    });
  });
});
