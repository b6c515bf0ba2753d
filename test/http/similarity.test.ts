/** `POST /similarity`: an image and texts, compared. */
import { afterAll, beforeAll, expect, test } from "bun:test";
import { readdir } from "node:fs/promises";
import { limits } from "../../src/limits.ts";
import { cosineSimilarity } from "../../src/vector/similarity.ts";
import { base64Of, expectProblem, postJson, until } from "../support/client.ts";
import { type Origin, respond, startOrigin, staySilent } from "../support/origin.ts";
import { type Bytes, makeJpeg, truncate } from "../support/pictures.ts";
import { connectRaw, headOf } from "../support/raw-client.ts";
import { startService, type TestService } from "../support/service.ts";

interface SimilarityAnswer {
  readonly status: string;
  readonly model: string;
  readonly results: readonly {
    readonly text: string;
    readonly cosine: number;
    readonly probability: number;
    readonly truncated: boolean;
  }[];
}

let service: TestService;
let origin: Origin;
let jpeg: Bytes;

beforeAll(async () => {
  jpeg = await makeJpeg();
  origin = await startOrigin({ "/image.jpg": respond({ body: jpeg }), "/silent": staySilent });
  service = await startService({ FETCH_ALLOW: "127.0.0.1", FETCH_TIMEOUT_MS: "500" });
});

afterAll(async () => {
  await service.stop();
  await origin[Symbol.asyncDispose]();
});

const texts = ["a photo of a cat", "", "harbour ".repeat(100), "a photo of a cat"];
const image_base64 = () => base64Of(jpeg);
const post = (body: unknown, query = "") => postJson(service, `/similarity${query}`, body);

async function answerTo(body: unknown, query = ""): Promise<SimilarityAnswer> {
  const response = await post(body, query);
  const text = await response.text();
  expect({ status: response.status, text }).toMatchObject({ status: 200 });
  return JSON.parse(text);
}

async function vectorOf(path: string, body: unknown): Promise<Float32Array> {
  const { vector } = JSON.parse(await (await postJson(service, path, body)).text());
  return Float32Array.from(vector);
}

test("each text has the cosine of its vector and the image's, as the other requests give them", async () => {
  const answer = await answerTo({ image_base64: image_base64(), texts });
  expect(Object.keys(answer)).toEqual(["status", "model", "results"]);
  expect(answer).toMatchObject({ status: "success", model: "clip-ViT-B-32@synthetic" });
  expect(answer.results.map(({ text }) => text)).toEqual(texts);
  expect(answer.results.map(({ truncated }) => truncated)).toEqual([false, false, true, false]);
  const image = await vectorOf("/vectorize-image-base64?model=clip-ViT-B-32", {
    image_base64: image_base64(),
  });
  for (const { text, cosine } of answer.results) {
    const expected = cosineSimilarity(image, await vectorOf("/embed-text", { text }));
    expect(Math.abs(cosine - expected)).toBeLessThan(1e-6);
  }
});

test("the probabilities are the softmax of a hundred times the cosines", async () => {
  const { results } = await answerTo({ image_base64: image_base64(), texts });
  const weights = results.map(({ cosine }) => Math.exp(100 * cosine));
  const sum = weights.reduce((total, weight) => total + weight);
  for (const [index, { probability }] of results.entries()) {
    expect(probability).toBeCloseTo((weights[index] ?? 0) / sum, 9);
  }
  expect(results.reduce((total, { probability }) => total + probability, 0)).toBeCloseTo(1, 12);
});

test("a lone text is certain", async () => {
  const { results } = await answerTo({ image_base64: image_base64(), texts: ["a"] });
  expect(results.map(({ probability }) => probability)).toEqual([1]);
});

test("an image by URL is compared as one by base64 is, and neither is kept", async () => {
  const before = await readdir(service.downloadsDir);
  const byUrl = await answerTo({ image_url: origin.url("/image.jpg"), texts });
  const inBody = await answerTo({ image_base64: image_base64(), texts });
  for (const [index, { cosine }] of byUrl.results.entries()) {
    expect(cosine).toBeCloseTo(inBody.results[index]?.cosine ?? 2, 6);
  }
  expect(await readdir(service.downloadsDir)).toEqual(before);
});

test("a null stands for an image that is not there", async () => {
  const body = { image_base64: image_base64(), image_url: null, texts: ["a"] };
  expect((await post(body)).status).toBe(200);
});

for (const [what, image] of [
  ["no image", {}],
  ["two images", { image_url: "http://x.example/", image_base64: "AAAA" }],
  ["two nulls", { image_url: null, image_base64: null }],
] as const) {
  test(`${what}: the answer says that exactly one is wanted`, async () => {
    const response = await post({ ...image, texts: ["a"] });
    const { detail, errors } = await expectProblem(response, "validation-failed");
    expect(detail).toBe("Send exactly one of image_url and image_base64.");
    expect(errors).toEqual([
      { pointer: "", message: "expected exactly one of image_url and image_base64" },
    ]);
  });
}

for (const [what, given, pointer] of [
  ["missing", undefined, "/texts"],
  ["one text", "a", "/texts"],
  ["none", [], "/texts"],
  ["65", Array.from({ length: 65 }, () => "a"), "/texts"],
  ["not all texts", ["a", 5], "/texts/1"],
] as const) {
  test(`texts that are ${what} are refused, and the answer points at them`, async () => {
    const body = { image_base64: image_base64(), texts: given };
    const { errors } = await expectProblem(await post(body), "validation-failed");
    expect(errors?.map((one) => one.pointer)).toEqual([pointer]);
  });
}

test("64 texts are taken", async () => {
  const many = Array.from({ length: 64 }, (_, index) => `${index}`);
  const { results } = await answerTo({ image_base64: image_base64(), texts: many });
  expect(results.map(({ text }) => text)).toEqual(many);
});

test("whatever a text is made of comes back as it was", async () => {
  const odd = ["", "\0", "\ud83d", 'quote " and \\', "line\nbreak", "🏞️"];
  const { results } = await answerTo({ image_base64: image_base64(), texts: odd });
  expect(results.map(({ text }) => text)).toEqual(odd);
});

test("wrapped base64 is fine, and a raw line break in a text is a space", async () => {
  const wrapped = image_base64().replace(/.{76}/g, "$&\r\n");
  const body = `{"image_base64": "${wrapped}",\n "texts": ["a\ncat"]}`;
  const { results } = await answerTo(body);
  expect(results[0]?.text).toBe("a cat");
  const plain = await answerTo({ image_base64: image_base64(), texts: ["a cat"] });
  expect(results).toEqual(plain.results);
});

for (const [what, image, code] of [
  ["not base64", { image_base64: "not base64!" }, "invalid-base64"],
  ["empty", { image_base64: "" }, "invalid-base64"],
  ["a text", { image_base64: base64Of(new TextEncoder().encode("hello")) }, "unsupported-image"],
  ["an empty URL", { image_url: "" }, "invalid-image-url"],
  ["a file: URL", { image_url: "file:///etc/passwd" }, "invalid-image-url"],
  ["on a private address", { image_url: "http://192.168.0.1/a.jpg" }, "forbidden-address"],
] as const) {
  test(`an image that is ${what} is refused as ${code}`, async () => {
    await expectProblem(await post({ ...image, texts: ["a"] }), code);
  });
}

test("an image that is cut short is undecodable, and is not kept", async () => {
  const body = { image_base64: base64Of(truncate(jpeg, 60)), texts: ["a"] };
  await expectProblem(await post(body), "undecodable-image");
});

for (const [path, code, status] of [
  ["/missing", "origin-error", 404],
  ["/silent", "origin-timeout", undefined],
] as const) {
  test(`an image URL that leads to ${path} is answered with ${code}`, async () => {
    const response = await post({ image_url: origin.url(path), texts: ["a"] });
    expect((await expectProblem(response, code)).origin_status).toBe(status);
  });
}

test("a model without texts is unknown here, and its image is not even fetched", async () => {
  const before = origin.requests.length;
  const body = { image_url: origin.url("/image.jpg"), texts: ["a"] };
  const { detail } = await expectProblem(await post(body, "?model=nv-dinov2"), "unknown-model");
  expect(detail).toContain("no texts");
  expect(origin.requests.length).toBe(before);
});

test("a body may hold the largest image and a mebibyte of texts", async () => {
  await using small = await startService({ MAX_IMAGE_BYTES: "20000", MAX_BODY_BYTES: "2000000" });
  const bytes = new Uint8Array(20_000);
  bytes.set(jpeg);
  const body = { image_base64: base64Of(bytes), texts: ["a".repeat(limits.maxTextBodyBytes)] };
  expect((await postJson(small, "/similarity", body)).status).toBe(200);
  const more = { ...body, texts: ["a".repeat(limits.maxTextBodyBytes + 10_000)] };
  await expectProblem(await postJson(small, "/similarity", more), "body-too-large");
});

test("without weights it is refused, and nothing is fetched", async () => {
  await using bare = await startService({ CLIP_WEIGHTS: "openai", FETCH_ALLOW: "127.0.0.1" });
  const before = origin.requests.length;
  const body = { image_url: origin.url("/image.jpg"), texts: ["a"] };
  await expectProblem(await postJson(bare, "/similarity", body), "model-unavailable");
  expect(origin.requests.length).toBe(before);
});

test("the answer says how long each stage took", async () => {
  const response = await post({ image_url: origin.url("/image.jpg"), texts: ["a"] });
  const timing = response.headers.get("server-timing") ?? "";
  const stages = timing.split(", ").map((stage) => stage.split(";")[0] ?? "");
  expect(stages.sort()).toEqual(["decode", "fetch", "infer", "queue", "total"]);
});

test("a client that leaves ends the fetch, and its place is free again", async () => {
  await using narrow = await startService({
    QUEUE_LIMIT: "1",
    FETCH_ALLOW: "127.0.0.1",
  });
  const client = await connectRaw(narrow);
  const body = JSON.stringify({ image_url: origin.url("/silent"), texts: ["a"] });
  const headers = { "Content-Type": "application/json", "Content-Length": body.length };
  client.write(headOf("/similarity", headers) + body);
  await until(() => origin.openConnections() === 1);
  client.hangUp();
  await origin.allClosed();
  await until(async () => {
    const next = { image_base64: image_base64(), texts: ["a"] };
    return (await postJson(narrow, "/similarity", next)).status === 200;
  });
});
