/** Problems of the service's own state: full, without a model, upstream in trouble, or broken. */
import { beforeAll, expect, test } from "bun:test";
import { tmpdir } from "node:os";
import { createAdmission } from "../../src/core/admission.ts";
import { Problem } from "../../src/errors.ts";
import { createAccessLog } from "../../src/http/access-log.ts";
import { createApp } from "../../src/http/app.ts";
import { beginCall, type Calls } from "../../src/http/call.ts";
import { createReaders } from "../../src/http/readers.ts";
import { startHttpServer } from "../../src/http/server.ts";
import { createLog } from "../../src/log.ts";
import { createDownloads } from "../../src/store/downloads.ts";
import { expectProblem, postFile, postJson, send, until } from "../support/client.ts";
import { everyReader } from "../support/every-reader.ts";
import { misbehave, startNvidiaFake } from "../support/nvidia-fake.ts";
import { startOrigin, staySilent } from "../support/origin.ts";
import { type Bytes, jpegSegment, makeJpeg } from "../support/pictures.ts";
import { connectRaw, headOf } from "../support/raw-client.ts";
import { startService } from "../support/service.ts";

let jpeg: Bytes;
beforeAll(async () => {
  jpeg = await makeJpeg();
});

const clip = "?model=clip-ViT-B-32";

/** Seconds of a Retry-After that must be there. */
function retryAfter(response: Response): number {
  const text = response.headers.get("retry-after") ?? "";
  expect(text).toMatch(/^[1-9]\d*$/);
  return Number(text);
}

test("a full house refuses at once, and says when to come back", async () => {
  await using service = await startService({ QUEUE_LIMIT: "0" });
  const response = await postFile(service, jpeg, { query: clip });
  expect(retryAfter(response)).toBeLessThan(10);
  await expectProblem(response, "overloaded");
});

test("one request more than the limit is refused, before its body is read, and then there is room", async () => {
  await using origin = await startOrigin({ "/silent": staySilent });
  await using service = await startService({ QUEUE_LIMIT: "1", FETCH_ALLOW: "127.0.0.1" });
  const leaving = new AbortController();
  const body = JSON.stringify({ image_url: origin.url("/silent") });
  const headers = { "Content-Type": "application/json" };
  const init = { method: "POST", headers, body, signal: leaving.signal };
  const first = send(service, `/vectorize-image${clip}`, init);
  first.catch(() => {});
  await until(() => origin.requests.length === 1);
  const second = await connectRaw(service);
  second.write(headOf("/vectorize-image", { ...headers, "Content-Length": 100 }));
  await second.received(/"overloaded"/);
  second.hangUp();
  leaving.abort();
  await until(async () => (await postFile(service, jpeg, { query: clip })).status === 200);
});

test("clients that send slowly take no place from others", async () => {
  await using service = await startService({ QUEUE_LIMIT: "1" });
  const head = headOf("/vectorize-image", {
    "Content-Type": "application/json",
    "Content-Length": 100,
  });
  const slow = await Promise.all(Array.from({ length: 20 }, () => connectRaw(service)));
  for (const client of slow) client.write(`${head}{`);
  await Bun.sleep(50);
  expect((await postFile(service, jpeg, { query: clip })).status).toBe(200);
  for (const client of slow) client.hangUp();
});

test("while texts would wait too long, requests with texts are refused, and those with images come in", async () => {
  const calls: Calls = new WeakMap();
  const { json, jsonWithImage, jsonWithTexts, jsonWithImageAndTexts } = createReaders({
    calls,
    admission: createAdmission({
      maxArriving: 10,
      maxHeldBytes: 1000,
      limit: 10,
      expectedWaitMs: (kind) => (kind === "text" ? 2000 : 0),
      maxWaitMs: 1000,
      now: () => 0,
    }),
    trustedProxies: [],
    downloads: createDownloads({ directory: tmpdir(), minFreeBytes: 0 }),
    jsonParser: { parse: async () => ({}) },
    maxBodyBytes: 1000,
    maxImageBytes: 1000,
  });
  const requestOf = () => {
    const headers = { "Content-Type": "application/json" };
    const request = new Request("http://host/", { method: "POST", headers, body: "{}" });
    calls.set(request, beginCall(request, { keepOpen: () => {}, peerAddress: () => undefined }));
    return { request, query: {} };
  };
  const served = () => undefined;
  for (const readerFor of [json, jsonWithImage]) {
    expect(await readerFor(served)(requestOf())).toEqual({});
  }
  for (const readerFor of [jsonWithTexts, jsonWithImageAndTexts]) {
    await expect(readerFor(served)(requestOf())).rejects.toMatchObject({
      code: "overloaded",
      retryAfterS: 2,
    });
  }
});

test("what needs no model is served in a full house", async () => {
  await using service = await startService({ QUEUE_LIMIT: "0" });
  for (const path of ["/livez", "/readyz", "/docs", "/openapi.json", "/problems/overloaded"]) {
    expect((await send(service, path)).status).toBe(200);
  }
});

test("without an NVIDIA key nv-dinov2 is unavailable, and the answer says how to get one", async () => {
  await using service = await startService();
  const response = await postFile(service, jpeg);
  expect(response.headers.get("retry-after")).toBeNull();
  const { detail } = await expectProblem(response, "model-unavailable");
  expect(detail).toContain("NVIDIA_API_KEY");
});

test("without its weights CLIP is unavailable, the answer says what to do, and NV-DINOv2 works", async () => {
  const nvidia = startNvidiaFake();
  await using service = await startService({
    CLIP_WEIGHTS: "openai",
    NVIDIA_API_KEY: "nvapi-fake",
    NVIDIA_BASE_URL: nvidia.url,
  });
  const response = await postFile(service, jpeg, { query: clip });
  const { detail } = await expectProblem(response, "model-unavailable");
  expect(detail).toContain("clip-ViT-B-32");
  expect(detail).not.toContain("imagesvc-test-models");
  expect((await postFile(service, jpeg)).status).toBe(200);
  await nvidia.stop();
});

test("with real weights asked for, the synthetic model's id is unknown", async () => {
  await using service = await startService({ CLIP_WEIGHTS: "openai" });
  const response = await postFile(service, jpeg, { query: "?model=clip-ViT-B-32@synthetic" });
  await expectProblem(response, "unknown-model");
});

test("an NVIDIA key that is refused is named as the operator's task, without the key", async () => {
  const nvidia = startNvidiaFake();
  await using service = await startService({
    NVIDIA_API_KEY: "nvapi-wrong-secret",
    NVIDIA_BASE_URL: nvidia.url,
  });
  const { detail } = await expectProblem(await postFile(service, jpeg), "upstream-unauthorized");
  expect(detail).not.toContain("wrong-secret");
  expect(service.log.join("")).not.toContain("wrong-secret");
  await nvidia.stop();
});

for (const [what, behaviour, code] of [
  ["answers with HTML", misbehave.notJson, "upstream-error"],
  ["answers a vector of the wrong length", misbehave.wrongDimension, "upstream-error"],
] as const) {
  test(`an upstream that ${what} is a ${code}`, async () => {
    const nvidia = startNvidiaFake();
    nvidia.next(...Array.from({ length: 8 }, () => behaviour));
    await using service = await startService({
      NVIDIA_API_KEY: "nvapi-fake",
      NVIDIA_BASE_URL: nvidia.url,
    });
    await expectProblem(await postFile(service, jpeg), code);
    await nvidia.stop();
  });
}

test("an upstream that is down for hours is passed on with its Retry-After", async () => {
  const nvidia = startNvidiaFake();
  nvidia.next(...Array.from({ length: 8 }, () => misbehave.outage()));
  await using service = await startService({
    NVIDIA_API_KEY: "nvapi-fake",
    NVIDIA_BASE_URL: nvidia.url,
  });
  const response = await postFile(service, jpeg);
  expect(response.status).toBeGreaterThanOrEqual(502);
  expect(response.headers.get("content-type")).toBe("application/problem+json");
  await nvidia.stop();
});

test("an upstream that says nothing is an upstream-timeout at the request's deadline", async () => {
  const nvidia = startNvidiaFake();
  nvidia.next(misbehave.slow, misbehave.slow, misbehave.slow);
  await using service = await startService({
    NVIDIA_API_KEY: "nvapi-fake",
    NVIDIA_BASE_URL: nvidia.url,
    REQUEST_TIMEOUT_MS: "1000",
    FETCH_TIMEOUT_MS: "500",
  });
  await expectProblem(await postFile(service, jpeg), "upstream-timeout");
  await nvidia.stop();
});

/** A server whose requests all fail in the same way. */
function startBroken(fail: () => never, isDraining = false) {
  const lines: string[] = [];
  const calls: Calls = new WeakMap();
  const lifecycle = { isDraining, isHandingOver: false };
  const read = async () => fail();
  const log = createLog({
    level: "info",
    format: "json",
    write: (line) => lines.push(line),
    now: () => new Date(),
  });
  const server = startHttpServer({
    app: createApp({
      embedder: { backends: [], refusal: () => undefined, embed: read },
      textEmbedder: { refusal: () => undefined, embed: read },
      comparer: { refusal: () => undefined, compare: read },
      eachEmbedder: { embed: read },
      manyEmbedder: { find: () => new Problem("unknown-model", "None."), embed: read },
      localModel: "m",
      calls,
      readers: everyReader(read),
      lifecycle,
      corsOrigins: [page],
      apiKeys: () => undefined,
      lookUp: () => new Problem("not-found", "Nothing."),
      hostGuard: undefined,
    }),
    calls,
    lifecycle,
    hostname: "127.0.0.1",
    port: 0,
    log,
    onServed: createAccessLog({ log, healthSample: 0 }),
  });
  return { url: server.url, close: () => server.close(), lines };
}

const page = "http://localhost:3000";

test("a bug is an internal-error: its words stay in the log, under the request's id", async () => {
  const broken = startBroken(() => {
    throw new TypeError("the secret path is /etc/imagesvc/secret");
  });
  const response = await postJson(broken, "/vectorize-image", {}, { Origin: page });
  expect(response.headers.get("access-control-allow-origin")).toBe(page);
  const { detail, request_id } = await expectProblem(response, "internal-error");
  expect(detail).not.toContain("secret");
  const line = JSON.parse(broken.lines.find((one) => one.includes(request_id)) ?? "{}");
  expect(line).toMatchObject({ level: "error", code: "internal-error", status: 500 });
  expect(line.cause).toMatch(/TypeError: the secret path.*capacity\.test\.ts/s);
  await broken.close();
});

test("while draining a POST is refused unread, with Retry-After, and its connection closes", async () => {
  const draining = startBroken(() => {
    throw new Error("a body was read");
  }, true);
  const response = await postJson(draining, "/vectorize-image", {}, { Origin: page });
  expect(response.headers.get("connection")).toBe("close");
  expect(response.headers.get("access-control-allow-origin")).toBe(page);
  retryAfter(response);
  await expectProblem(response, "shutting-down");
  expect((await send(draining, "/livez")).status).toBe(200);
  await draining.close();
});

/** A JPEG's segment that changes no pixel. */
const comment = jpegSegment(0xfe, new Uint8Array(1));

test("a picture whose vector takes longer than the deadline is an inference-timeout", async () => {
  await using service = await startService({ REQUEST_TIMEOUT_MS: "1000", FETCH_TIMEOUT_MS: "500" });
  // Its scans are decoded twice, as it is read in strips.
  const slow = await makeJpeg({ width: 9000, height: 9000, progressive: true });
  // A fast machine may be done with one of them in time, but not with two, and there is one worker.
  const other = Uint8Array.from([...slow.subarray(0, 2), ...comment, ...slow.subarray(2)]);
  const sent = [slow, other].map((bytes) => postFile(service, bytes, { query: clip }));
  const answers = await Promise.all(sent);
  const late = answers.filter(({ status }) => status !== 200);
  expect(late.length).toBeGreaterThan(0);
  for (const answer of late) await expectProblem(answer, "inference-timeout");
  await until(async () => (await postFile(service, jpeg, { query: clip })).status === 200);
});
