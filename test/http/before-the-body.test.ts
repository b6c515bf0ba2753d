/** What is known before a body is there is refused before anybody reads it. */
import { afterAll, beforeAll, expect, test } from "bun:test";
import type { ProblemCode } from "../../src/errors.ts";
import { connectRaw, headOf } from "../support/raw-client.ts";
import { startService, type TestService } from "../support/service.ts";

let service: TestService;

beforeAll(async () => {
  service = await startService();
});

afterAll(() => service.stop());

const json = "application/json";
const multipart = "multipart/form-data; boundary=x";
const paths = [
  ["/vectorize-image", json],
  ["/vectorize-image-base64", json],
  ["/vectorize-image-upload", multipart],
  ["/upload", "application/x-www-form-urlencoded"],
  ["/upload", multipart],
  ["/embed-text", json],
  ["/similarity", json],
] as const;

/** The answer to a head whose body never comes. */
async function answerToHead(path: string, type: string): Promise<string> {
  const client = await connectRaw(service);
  client.write(headOf(path, { "Content-Type": type, "Content-Length": 100 }));
  const answer = await client.received(/"code":"[^"]+"/);
  client.hangUp();
  return answer;
}

function expectRefusal(answer: string, status: number, code: ProblemCode): void {
  expect(answer).toStartWith(`HTTP/1.1 ${status} `);
  expect(answer).toContain(`"code":"${code}"`);
}

for (const [path, type] of paths) {
  test(`${path} refuses an unknown model, as ${type}`, async () => {
    expectRefusal(await answerToHead(`${path}?model=none`, type), 422, "unknown-model");
  });
}

for (const path of ["/embed-text", "/similarity"]) {
  test(`${path} refuses a model that takes no texts`, async () => {
    const answer = await answerToHead(`${path}?model=nv-dinov2`, json);
    expectRefusal(answer, 422, "unknown-model");
    expect(answer).toContain("embeds images, but no texts");
  });
}

for (const [path, type] of paths.slice(0, 3)) {
  test(`${path} refuses its own model while that is not available`, async () => {
    const answer = await answerToHead(path, type);
    expectRefusal(answer, 503, "model-unavailable");
    expect(answer).toContain("NVIDIA_API_KEY");
  });
}

test("a local model that is not loaded is refused too", async () => {
  await using unloaded = await startService({ CLIP_WEIGHTS: "openai" });
  for (const [path, type] of [paths[3], paths[5], paths[6]]) {
    const client = await connectRaw(unloaded);
    client.write(headOf(path, { "Content-Type": type, "Content-Length": 100 }));
    expectRefusal(await client.received(/"code":"[^"]+"/), 503, "model-unavailable");
    client.hangUp();
  }
});

test("a wrong Content-Type, or too long a body, is told before an unknown model", async () => {
  const type = await answerToHead("/vectorize-image?model=none", "text/plain");
  expectRefusal(type, 415, "unsupported-media-type");
  const client = await connectRaw(service);
  const headers = { "Content-Type": json, "Content-Length": 300_000 };
  client.write(headOf("/vectorize-image?model=none", headers));
  expectRefusal(await client.received(/"code":"[^"]+"/), 413, "body-too-large");
  client.hangUp();
});

test("a model's name that is too long is left to the check of the whole request", async () => {
  const client = await connectRaw(service);
  const headers = { "Content-Type": json, "Content-Length": 14 };
  client.write(headOf(`/embed-text?model=${"m".repeat(101)}`, headers));
  client.write('{"text":"cat"}');
  expectRefusal(await client.received(/"code":"[^"]+"/), 422, "validation-failed");
  client.hangUp();
});
