/** The client against the real service, and against servers that answer what no test could wait for. */
import { afterAll, beforeAll, expect, test } from "bun:test";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createApiKey, withApiKey } from "../../src/store/api-keys.ts";
import {
  type Client,
  cosineSimilarity,
  createClient,
  ImagesvcProblem,
} from "../../src/web/client.ts";
import { answerOf, base64Of, postFile } from "../support/client.ts";
import { type Origin, respond, startOrigin } from "../support/origin.ts";
import { type Bytes, makePng } from "../support/pictures.ts";
import { startService, type TestService } from "../support/service.ts";

const { key, entry } = createApiKey("client", new Date());
let folder: string;
let service: TestService;
let origin: Origin;
let png: Bytes;
let client: Client;
let vector: readonly number[];

beforeAll(async () => {
  png = await makePng();
  origin = await startOrigin({ "/a.png": respond({ body: png }) });
  folder = await mkdtemp(join(tmpdir(), "imagesvc-client-"));
  const keys = join(folder, "api-keys");
  await Bun.write(keys, withApiKey("", entry));
  service = await startService({
    FETCH_ALLOW: "127.0.0.1",
    API_KEYS_FILE: keys,
    CACHE_DIR: join(folder, "cache"),
    CACHE_MAX_BYTES: "64000000",
  });
  client = createClient({ baseUrl: service.url, apiKey: () => key });
  const init = { headers: { Authorization: `Bearer ${key}` } };
  const answer = await postFile(service, png, { query: "?model=clip-ViT-B-32", init });
  vector = (await answerOf(answer)).vector;
});

afterAll(async () => {
  await service.stop();
  await origin[Symbol.asyncDispose]();
  await rm(folder, { recursive: true });
});

test("an image as bytes, by its URL and as a data: URI has the same vector", async () => {
  const blob = new File([png], "a.png", { type: "image/png" });
  for (const image of [blob, origin.url("/a.png"), `data:image/png;base64,${base64Of(png)}`]) {
    const embedding = await client.embedImage(image, { thumbnail: true });
    expect(embedding).toMatchObject({ model: "clip-ViT-B-32@synthetic", dimensions: 512 });
    expect(embedding.vector).toEqual(vector);
    expect(embedding.stages.at(-1)).toEqual({ name: "total", ms: expect.any(Number) });
    expect(embedding.requestId).toBeString();
    expect(embedding.thumbnail).toStartWith("data:image/");
    expect(embedding.savedAs === undefined).toBe(image === origin.url("/a.png"));
  }
});

test("several models embed an image from one upload, and each has an outcome of its own", async () => {
  const models = ["nv-dinov2", "clip-ViT-B-32"];
  const stages: unknown[] = [];
  for (const image of [new Blob([png]), origin.url("/a.png")]) {
    const answer = await client.embedImageWithEach(image, models, { thumbnail: true });
    const [hosted, local] = answer.results;
    expect(hosted?.problem).toBeInstanceOf(ImagesvcProblem);
    expect(hosted?.problem).toMatchObject({ code: "model-unavailable", status: 503 });
    expect(local).toEqual({ model: "clip-ViT-B-32@synthetic", vector });
    expect(answer.sha256).toBe(Bun.SHA256.hash(png, "hex"));
    expect(answer.thumbnail).toStartWith("data:image/");
    stages.push(answer.stages.at(-1)?.name);
  }
  expect(stages).toEqual(["total", "total"]);
  const none = client.embedImageWithEach(new Blob([png]), ["nv-dinov2"]);
  expect(await problemOf(none)).toMatchObject({ code: "model-unavailable" });
});

test("a vector can be asked for at unit length", async () => {
  const embedding = await client.embedImage(new Blob([png]), { normalize: true });
  expect(Math.hypot(...embedding.vector)).toBeCloseTo(1, 5);
  expect(cosineSimilarity(embedding.vector, vector)).toBeCloseTo(1, 5);
});

test("texts have vectors in their order, and are compared with an image however it comes", async () => {
  const texts = ["a cat", "x ".repeat(100), "the night sky"];
  const { vectors, truncated, dimensions } = await client.embedTexts(texts);
  expect(vectors.map(({ length }) => length)).toEqual([512, 512, 512]);
  expect([dimensions, truncated]).toEqual([512, [false, true, false]]);
  for (const image of [new Blob([png]), origin.url("/a.png")]) {
    const { results } = await client.compare(image, texts);
    expect(results.map(({ text }) => text)).toEqual(texts);
    results.forEach(({ cosine }, index) => {
      expect(cosine).toBeCloseTo(cosineSimilarity(vector, vectors[index] ?? []), 5);
    });
  }
});

test("an image that was embedded is found by its digest, and no other", async () => {
  expect((await client.lookUp(Bun.SHA256.hash(png, "hex")))?.vector).toEqual(vector);
  expect(await client.lookUp("ab".repeat(32))).toBeUndefined();
});

test("the models are told with what is missing", async () => {
  expect(await client.models()).toMatchObject([
    { id: "clip-ViT-B-32@synthetic", state: "ready" },
    { id: "nv-dinov2", state: "unavailable", why: expect.stringContaining("NVIDIA_API_KEY") },
  ]);
});

/** What a promise rejects with. */
async function problemOf(promise: Promise<unknown>): Promise<ImagesvcProblem> {
  const error = await promise.then(
    () => new Error("it did not fail"),
    (reason) => reason,
  );
  if (error instanceof ImagesvcProblem) return error;
  throw error;
}

test("a failure is a problem with the service's own words", async () => {
  const refused = await problemOf(client.embedImage(new Blob(["no picture"])));
  expect(refused).toMatchObject({ code: "unsupported-image", status: 415, errors: [] });
  expect(refused.message).toContain("JPEG, PNG");
  expect(refused.requestId).toBeString();
  expect(await problemOf(client.embedImage(origin.url("/gone")))).toMatchObject({
    code: "origin-error",
    originStatus: 404,
  });
  const shapeless = await problemOf(client.embedTexts([]));
  expect(shapeless).toMatchObject({ code: "validation-failed", status: 422 });
  expect(shapeless.errors[0]).toMatchObject({ pointer: "/text" });
  const keyless = createClient({ baseUrl: `${service.url.href}//` });
  expect((await problemOf(keyless.embedTexts(["a"]))).code).toBe("unauthorized");
});

/** A server with an answer for each request in turn, the last for all that follow. */
function startScripted(
  ...answers: readonly ((request: Request) => Response | Promise<Response>)[]
) {
  let asked = 0;
  const server = Bun.serve({
    hostname: "127.0.0.1",
    port: 0,
    fetch: (request) => {
      asked += 1;
      return (answers[asked - 1] ?? answers.at(-1))?.(request) ?? new Response();
    },
  });
  return {
    baseUrl: server.url,
    asked: () => asked,
    [Symbol.asyncDispose]: () => server.stop(true),
  };
}

const busy =
  (retryAfter: string | undefined, status = 503, code = "overloaded") =>
  () =>
    Response.json(
      { code, title: "Busy", detail: "Come back.", status },
      { status, headers: retryAfter === undefined ? {} : { "Retry-After": retryAfter } },
    );
const good = () => Response.json({ model: "m", vector: [1, 2] });

test.each([
  ["503", busy("1")],
  ["429", busy("1", 429, "rate-limited")],
  [
    "a proxy's 503 that is no JSON",
    () => new Response("<h1>busy", { status: 503, headers: { "Retry-After": "1" } }),
  ],
])("after %s it comes back when Retry-After says so", async (_what, refuse) => {
  await using server = startScripted(refuse, good);
  const waits: number[] = [];
  const { vector } = await createClient({ baseUrl: server.baseUrl }).embedImage("http://a/", {
    onRetry: (_problem, waitMs) => waits.push(waitMs),
  });
  expect(vector).toEqual([1, 2]);
  expect(server.asked()).toBe(2);
  expect(waits).toHaveLength(1);
  expect(waits[0]).toBeWithin(1000, 1101);
});

test("Retry-After may be a date", async () => {
  await using server = startScripted(busy(new Date(Date.now() + 600_000).toUTCString()));
  const problem = await problemOf(createClient({ baseUrl: server.baseUrl }).embedTexts(["a"]));
  expect(problem.retryAfterS).toBeWithin(590, 601);
});

test.each([
  ["a wait beyond the budget", busy("60")],
  ["a refusal that says no time", busy(undefined)],
  ["a fault of the request", busy("1", 422, "validation-failed")],
])("%s ends the trying at once", async (_what, refuse) => {
  await using server = startScripted(refuse);
  const problem = await problemOf(createClient({ baseUrl: server.baseUrl }).embedTexts(["a"]));
  expect(problem.detail).toBe("Come back.");
  expect(server.asked()).toBe(1);
});

test("tries and their waits have an end", async () => {
  await using server = startScripted(busy("0"));
  const { baseUrl } = server;
  await problemOf(createClient({ baseUrl, retry: { attempts: 3 } }).embedTexts(["a"]));
  expect(server.asked()).toBe(3);
  await problemOf(createClient({ baseUrl, retry: { attempts: 1 } }).embedTexts(["a"]));
  expect(server.asked()).toBe(4);
});

test("where nobody answers it tries again, and then says so", async () => {
  const nobody = Bun.serve({ hostname: "127.0.0.1", port: 0, fetch: () => new Response() });
  const baseUrl = nobody.url;
  await nobody.stop(true);
  let tries = 1;
  const problem = await problemOf(
    createClient({ baseUrl, retry: { attempts: 2 } }).models({ onRetry: () => (tries += 1) }),
  );
  expect(problem).toMatchObject({ code: "no-answer", status: 0 });
  expect(problem.detail).toContain("CORS_ORIGINS");
  expect(tries).toBe(2);
});

test.each([
  ["HTML", () => new Response("<h1>Welcome", { status: 200 })],
  ["JSON of another kind", () => Response.json({ hello: "world" })],
  ["an error of another kind", () => Response.json({ error: "?" }, { status: 500 })],
])("%s is no answer of the service", async (_what, answer) => {
  await using server = startScripted(answer);
  const other = createClient({ baseUrl: server.baseUrl });
  for (const asked of [other.embedImage("http://a/"), other.embedTexts(["a"]), other.models()]) {
    expect((await problemOf(asked)).code).toBe("unexpected-answer");
  }
});

test("a request that takes too long is given up", async () => {
  await using server = startScripted(() => new Promise<Response>(() => {}));
  const { baseUrl } = server;
  const impatient = createClient({ baseUrl, timeoutMs: 50, retry: { attempts: 1 } });
  expect((await problemOf(impatient.models())).detail).toContain("in time");
});

test("a signal ends the request, and a wait for another try, with its own reason", async () => {
  const left = Promise.withResolvers<void>();
  await using server = startScripted(
    ({ signal }) =>
      new Promise<Response>(() => signal.addEventListener("abort", () => left.resolve())),
    busy("20"),
  );
  const other = createClient({ baseUrl: server.baseUrl });
  const first = new AbortController();
  const asked = other.embedTexts(["a"], { signal: first.signal });
  while (server.asked() === 0) await Bun.sleep(1);
  first.abort(new Error("no longer wanted"));
  await expect(asked).rejects.toThrow("no longer wanted");
  await left.promise;
  const second = new AbortController();
  const onRetry = () => second.abort(new Error("nor this"));
  await expect(other.embedTexts(["a"], { signal: second.signal, onRetry })).rejects.toThrow(
    "nor this",
  );
  expect(server.asked()).toBe(2);
});

test("where there is no XMLHttpRequest an upload's progress has one step", async () => {
  const steps: number[] = [];
  await client.embedTexts(["a"], { onProgress: ({ sentBytes }) => steps.push(sentBytes) });
  expect(steps).toEqual([JSON.stringify({ text: ["a"] }).length]);
});

test("vectors of different lengths have no cosine", () => {
  expect(() => cosineSimilarity([1], [1, 2])).toThrow(RangeError);
  expect(cosineSimilarity([1, 0], [-2, 0])).toBe(-1);
});
