/** The `openai` package, as programs use it: only its base URL is ours. */
import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import OpenAI, {
  APIConnectionError,
  AuthenticationError,
  BadRequestError,
  InternalServerError,
  NotFoundError,
  PermissionDeniedError,
  RateLimitError,
} from "openai";
import { createApiKey, withApiKey } from "../../src/store/api-keys.ts";
import { answerOf, base64Of, postJson } from "../support/client.ts";
import { type Bytes, makeJpeg } from "../support/pictures.ts";
import { startService, type TestService } from "../support/service.ts";

const model = "clip-ViT-B-32";
let service: TestService;
let jpeg: Bytes;
let image: string;

beforeAll(async () => {
  jpeg = await makeJpeg();
  image = `data:image/jpeg;base64,${base64Of(jpeg)}`;
  service = await startService();
});

afterAll(() => service.stop());

/** Each of its requests is remembered. */
function openai(at: Pick<TestService, "url">, apiKey = "unused") {
  const answers: Response[] = [];
  const client = new OpenAI({
    apiKey,
    baseURL: `${at.url.origin}/v1`,
    fetch: async (url, init) => {
      const answer = await fetch(url, init);
      answers.push(answer);
      return answer;
    },
  });
  return { client, answers };
}

/** What somebody's promise throws. */
async function errorOf(promise: Promise<unknown>): Promise<unknown> {
  return await promise.then(
    () => undefined,
    (error: unknown) => error,
  );
}

async function vectorOf(text: string): Promise<readonly number[]> {
  const response = await postJson(service, "/embed-text?normalize=true", { text });
  return (await answerOf(response)).vector;
}

describe("vectors", () => {
  test("in its default mode, which is base64, are those of the documented request", async () => {
    const { client } = openai(service);
    const answer = await client.embeddings.create({ model, input: "a photo of a cat" });
    expect(answer.model).toBe("clip-ViT-B-32@synthetic");
    expect(answer.object).toBe("list");
    expect(answer.usage).toEqual({ prompt_tokens: 7, total_tokens: 7 });
    const [first] = answer.data;
    expect(first?.index).toBe(0);
    const vector = await vectorOf("a photo of a cat");
    expect(Float32Array.from(first?.embedding ?? [])).toEqual(Float32Array.from(vector));
  });

  test("as floats are the same", async () => {
    const { client } = openai(service);
    const input = ["a cat", "a dog"];
    const { data } = await client.embeddings.create({ model, input, encoding_format: "float" });
    expect(data.map(({ index }) => index)).toEqual([0, 1]);
    for (const [index, text] of ["a cat", "a dog"].entries()) {
      const embedding = Float32Array.from(data[index]?.embedding ?? []);
      expect(embedding).toEqual(Float32Array.from(await vectorOf(text)));
    }
  });

  test("of an image come with its data: URI, and are those of the documented request", async () => {
    const { client } = openai(service);
    const extra = { modality: "image" };
    const { data } = await client.embeddings.create({ model, input: [image], ...extra });
    const body = { image_base64: image };
    const path = `/vectorize-image-base64?model=${model}&normalize=true`;
    const { vector } = await answerOf(await postJson(service, path, body));
    expect(Float32Array.from(data[0]?.embedding ?? [])).toEqual(Float32Array.from(vector));
  });

  test("may be asked for with dimensions, where these are the model's own", async () => {
    const { client } = openai(service);
    const { data } = await client.embeddings.create({ model, input: "a", dimensions: 512 });
    expect(data[0]?.embedding).toHaveLength(512);
  });
});

describe("models", () => {
  test("are listed and found", async () => {
    const { client } = openai(service);
    const ids: string[] = [];
    for await (const { id } of client.models.list()) ids.push(id);
    expect(ids).toEqual([model, "nv-dinov2"]);
    expect(await client.models.retrieve(model)).toMatchObject({ id: model, object: "model" });
  });

  test("that nobody has are a NotFoundError", async () => {
    const { client } = openai(service);
    const error = await errorOf(client.models.retrieve("gpt-9"));
    expect(error).toBeInstanceOf(NotFoundError);
    expect(error).toMatchObject({ status: 404, code: "model_not_found", param: "model" });
  });
});

describe("errors", () => {
  test("of a request are a BadRequestError, once, with the field's name", async () => {
    const { client, answers } = openai(service);
    const extra = { modality: "image" };
    const input = [image, "data:image/png;base64,AAAA"];
    const error = await errorOf(client.embeddings.create({ model, input, ...extra }));
    expect(error).toBeInstanceOf(BadRequestError);
    expect(error).toMatchObject({
      status: 400,
      code: "unsupported-image",
      param: "input[1]",
      type: "invalid_request_error",
      requestID: answers[0]?.headers.get("x-request-id"),
    });
    expect(answers).toHaveLength(1);
    expect(answers[0]?.headers.get("openai-processing-ms")).toMatch(/^\d+$/);
  });

  test("token ids are refused with the reason", async () => {
    const { client } = openai(service);
    const error = await errorOf(client.embeddings.create({ model, input: [[1, 2], [3]] }));
    expect(error).toBeInstanceOf(BadRequestError);
    expect(String(error)).toContain("check_embedding_ctx_length=False");
  });

  test("of a path that does not exist are a NotFoundError", async () => {
    const { client } = openai(service);
    const error = await errorOf(client.chat.completions.create({ model, messages: [] }));
    expect(error).toBeInstanceOf(NotFoundError);
  });

  test("of a model without its key are an InternalServerError at once: nothing is tried again", async () => {
    const { client, answers } = openai(service);
    const extra = { modality: "image" };
    const asked = { model: "nv-dinov2", input: image, ...extra };
    const error = await errorOf(client.embeddings.create(asked));
    expect(error).toBeInstanceOf(InternalServerError);
    expect(error).toMatchObject({ status: 503, code: "model-unavailable" });
    expect(answers.map(({ headers }) => headers.get("x-should-retry"))).toEqual(["false"]);
  });
});

describe("limits", () => {
  test("of a full house are tried again after the seconds in retry-after", async () => {
    await using full = await startService({ QUEUE_LIMIT: "0" });
    const { client, answers } = openai(full);
    const error = await errorOf(client.embeddings.create({ model, input: "a" }, { maxRetries: 1 }));
    expect(error).toBeInstanceOf(InternalServerError);
    expect(error).toMatchObject({ status: 503, code: "overloaded" });
    expect(answers.map(({ headers }) => headers.get("retry-after"))).toEqual(["1", "1"]);
  });

  test("of a client that asks too often are tried again, and then it is served", async () => {
    await using limited = await startService({ RATE_LIMIT: "1/s" });
    const { client, answers } = openai(limited);
    await client.embeddings.create({ model, input: "a" });
    await client.embeddings.create({ model, input: "b" });
    expect(answers.map(({ status }) => status)).toEqual([200, 429, 200]);
  });

  test("of a limit that is over in an hour are a RateLimitError at once", async () => {
    await using limited = await startService({ RATE_LIMIT: "1/h" });
    const { client, answers } = openai(limited);
    await client.embeddings.create({ model, input: "a" });
    const error = await errorOf(client.embeddings.create({ model, input: "b" }));
    expect(error).toBeInstanceOf(RateLimitError);
    expect(error).toMatchObject({ status: 429, code: "rate_limit_exceeded" });
    expect(answers[1]?.headers.get("x-should-retry")).toBe("false");
    expect(answers[1]?.headers.get("retry-after")).toBeNull();
    expect(answers).toHaveLength(2);
  });

  test("of an image on a private address are a PermissionDeniedError", async () => {
    const { client } = openai(service);
    const extra = { modality: "image" };
    const input = ["http://127.0.0.1:1/a.jpg"];
    const error = await errorOf(client.embeddings.create({ model, input, ...extra }));
    expect(error).toBeInstanceOf(PermissionDeniedError);
    expect(error).toMatchObject({ status: 403, code: "forbidden-address", param: "input[0]" });
  });

  test("of a service that is not there are its own", async () => {
    const client = new OpenAI({ apiKey: "k", baseURL: "http://127.0.0.1:1/v1", maxRetries: 0 });
    const error = await errorOf(client.embeddings.create({ model, input: "a" }));
    expect(error).toBeInstanceOf(APIConnectionError);
  });
});

describe("with API keys", () => {
  const { key, entry } = createApiKey("app", new Date());
  let folder: string;
  let guarded: TestService;

  beforeAll(async () => {
    folder = await mkdtemp(join(tmpdir(), "imagesvc-openai-"));
    const path = join(folder, "api-keys");
    await Bun.write(path, withApiKey("", entry));
    guarded = await startService({ API_KEYS_FILE: path });
  });

  afterAll(async () => {
    await guarded.stop();
    await rm(folder, { recursive: true });
  });

  test("the client's own apiKey is taken", async () => {
    const { client } = openai(guarded, key);
    expect((await client.embeddings.create({ model, input: "a" })).data).toHaveLength(1);
    expect((await client.models.list()).data).toHaveLength(2);
  });

  test("another is an AuthenticationError", async () => {
    const { client } = openai(guarded, "wrong");
    const error = await errorOf(client.embeddings.create({ model, input: "a" }));
    expect(error).toBeInstanceOf(AuthenticationError);
    expect(error).toMatchObject({ status: 401, code: "invalid_api_key" });
  });
});
