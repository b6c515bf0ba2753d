/** Who may call where API keys are configured. */
import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createApiKey, withApiKey } from "../../src/store/api-keys.ts";
import { expectProblem, postJson, send } from "../support/client.ts";
import { connectRaw, headOf } from "../support/raw-client.ts";
import { startService, type TestService } from "../support/service.ts";

const page = "https://app.example.com";
const phone = createApiKey("phone-app", new Date());
const batch = createApiKey("batch", new Date());
const stranger = createApiKey("phone-app", new Date());

let folder: string;
let service: TestService;

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), "imagesvc-authorization-"));
  const path = join(folder, "api-keys");
  await Bun.write(path, [phone.entry, batch.entry].reduce(withApiKey, ""));
  // No request here needs a model.
  service = await startService({
    // Lets every Host through, so that disguises reach the guard.
    TRUSTED_PROXIES: "127.0.0.1",
    NVIDIA_API_KEY: "nvapi-fake",
    API_KEYS_FILE: path,
    CLIP_WEIGHTS: "openai",
    CORS_ORIGINS: page,
  });
});

afterAll(async () => {
  await service.stop();
  await rm(folder, { recursive: true });
});

const bearer = (key: string) => ({ Authorization: `Bearer ${key}` });

const guarded = [
  ["POST", "/upload"],
  ["POST", "/upload/"],
  ["POST", "/vectorize-image"],
  ["POST", "/vectorize-image-base64"],
  ["POST", "/vectorize-image-upload"],
  ["POST", "/embed-text"],
  ["POST", "/similarity"],
  ["POST", "/embeddings"],
  ["POST", "/v1/embeddings"],
  ["GET", "/v1/models"],
  ["GET", "/v1/models/nv-dinov2"],
  ["GET", "/upload"],
  ["GET", "/metrics"],
  ["GET", "/embeddings/x"],
  ["GET", "/nothing"],
  ["POST", "/nothing"],
  ["DELETE", "/v1/embeddings"],
  ["GET", "/livez2"],
  ["GET", "/livez/x"],
  ["GET", "/docsx"],
  ["GET", "/openapi.json/x"],
] as const;

describe("without a key", () => {
  test.each(guarded)("%s %s is refused", async (method, path) => {
    const response = await send(service, path, { method });
    expect(response.headers.get("www-authenticate")).toBe("Bearer");
    if (path.startsWith("/v1/")) {
      expect(response.status).toBe(401);
      expect(await response.json()).toMatchObject({ error: { code: "invalid_api_key" } });
    } else await expectProblem(response, "unauthorized");
  });

  test.each([
    ["/livez", 200],
    ["/livez/", 200],
    ["/readyz", 200],
    ["/problems", 200],
    ["/problems/unauthorized", 200],
    ["/docs", 200],
    ["/docs/", 200],
    ["/docs/start.js", 200],
    ["/docs/swagger-ui-bundle.js", 200],
    ["/docs/swagger-ui.css", 200],
    ["/openapi.json", 200],
    ["/", 200],
    ["/page/page.js", 200],
    ["/page/page.css", 200],
  ])("GET and HEAD %s are answered", async (path, status) => {
    for (const method of ["GET", "HEAD"]) {
      expect((await send(service, path, { method })).status).toBe(status);
    }
  });

  test.each(guarded.slice(0, 7))("a preflight is answered: %s %s", async (_method, path) => {
    const response = await send(service, path, {
      method: "OPTIONS",
      headers: {
        Origin: page,
        "Access-Control-Request-Method": "POST",
        "Access-Control-Request-Headers": "authorization",
      },
    });
    expect(response.status).toBe(204);
    expect(response.headers.get("access-control-allow-headers")).toContain("Authorization");
  });
});

test("with any of the keys a request is served as ever", async () => {
  for (const { key } of [phone, batch]) {
    await expectProblem(
      await postJson(service, "/vectorize-image", {}, bearer(key)),
      "validation-failed",
    );
    await expectProblem(await send(service, "/nothing", { headers: bearer(key) }), "not-found");
    await expectProblem(
      await send(service, "/upload", { headers: bearer(key) }),
      "method-not-allowed",
    );
  }
});

test.each(["bearer", "BEARER", "bEaReR"])("the scheme may be written %s", async (scheme) => {
  const headers = { Authorization: `${scheme}  ${phone.key} ` };
  await expectProblem(
    await postJson(service, "/vectorize-image", {}, headers),
    "validation-failed",
  );
});

describe("a key that is wrong is refused, and said to be wrong", () => {
  test.each([
    ["made elsewhere", stranger.key],
    ["its hash", phone.entry.sha256],
    ["its name", phone.entry.name],
    ["cut", phone.key.slice(0, -1)],
    ["longer", `${phone.key}A`],
    ["in other letters", phone.key.toUpperCase()],
    ["very long", "x".repeat(8000)],
  ])("%s", async (_what, key) => {
    const response = await postJson(service, "/vectorize-image", {}, bearer(key));
    expect(response.headers.get("www-authenticate")).toBe('Bearer error="invalid_token"');
    await expectProblem(response, "unauthorized");
  });
});

describe("a key that does not come as one is none", () => {
  test.each([
    ["another scheme", { Authorization: `Basic ${btoa(`x:${phone.key}`)}` }],
    ["no scheme", { Authorization: phone.key }],
    ["an empty one", { Authorization: "Bearer " }],
    ["two", { Authorization: `Bearer ${stranger.key} ${phone.key}` }],
    ["another header", { "X-API-Key": phone.key }],
    ["a cookie", { Cookie: `api_key=${phone.key}` }],
  ])("%s", async (_what, headers) => {
    const response = await postJson(service, "/vectorize-image", {}, headers);
    expect(response.headers.get("www-authenticate")).toBe("Bearer");
    await expectProblem(response, "unauthorized");
  });

  test.each(["key", "api_key", "access_token"])("in the query, as %s", async (name) => {
    const path = `/vectorize-image?${name}=${phone.key}`;
    await expectProblem(await postJson(service, path, {}), "unauthorized");
  });
});

test("a refusal comes before the body is read, and hears it out for a moment", async () => {
  const client = await connectRaw(service);
  const type = "multipart/form-data; boundary=x";
  client.write(
    headOf("/vectorize-image-upload", { "Content-Type": type, "Content-Length": 1_000_000 }),
  );
  expect(await client.received(/"code":"unauthorized"/)).toStartWith("HTTP/1.1 401 ");
  client.write(new Uint8Array(10_000));
  expect(await client.closed()).toMatch(/\r\nconnection: close\r\n/i);
});

/** What a client sends in place of a plain request line and Host, to be taken for a caller of an open path. */
const disguises = [
  ["POST /upload HTTP/1.1", "a?b"],
  ["POST /upload HTTP/1.1", "a/livez?"],
  ["POST /upload HTTP/1.1", "a/docs/"],
  ["POST /upload HTTP/1.1", "a#b"],
  ["POST /upload HTTP/1.1", "a@b"],
  ["POST /upload HTTP/1.1", "a\\livez"],
  ["POST /upload?/livez HTTP/1.1", "imagesvc"],
  ["POST /upload;/livez HTTP/1.1", "imagesvc"],
  ["POST /livez/../upload HTTP/1.1", "imagesvc"],
  ["POST /docs/../upload HTTP/1.1", "imagesvc"],
  ["POST /docs/%2e%2e/upload HTTP/1.1", "imagesvc"],
  ["POST /docs/..%2fupload HTTP/1.1", "imagesvc"],
  ["POST //upload HTTP/1.1", "imagesvc"],
  ["POST http://imagesvc/upload HTTP/1.1", "imagesvc"],
  ["POST http://a?b/upload HTTP/1.1", "imagesvc"],
  ["POST /upload HTTP/1.0", ""],
] as const;

test.each(disguises)("no disguise leads to a guarded route: %s, Host %s", async (line, host) => {
  const client = await connectRaw(service);
  const head = `Content-Type: application/json\r\nContent-Length: 2\r\nConnection: close`;
  client.write(`${line}\r\n${host === "" ? "" : `Host: ${host}\r\n`}${head}\r\n\r\n{}`);
  // A key would get 415 here: this body is none that /upload takes.
  expect(await client.closed()).toMatch(/^HTTP\/1\.1 (400|401|404|405) /);
});

test("a refusal carries the CORS headers, so that the page can read why", async () => {
  const response = await postJson(service, "/vectorize-image", {}, { Origin: page });
  expect(response.headers.get("access-control-allow-origin")).toBe(page);
  expect(response.headers.get("access-control-expose-headers")).toContain("X-Request-Id");
  await expectProblem(response, "unauthorized");
});

function lineOf(requestId: string): unknown {
  return JSON.parse(service.log.find((line) => line.includes(requestId)) ?? "{}");
}

test("the log names the key that a request came with, and never has the key", async () => {
  const known = { ...bearer(phone.key), "X-Request-Id": "known" };
  await postJson(service, "/vectorize-image", {}, known);
  const unknown = { ...bearer(stranger.key), "X-Request-Id": "unknown" };
  await postJson(service, "/vectorize-image", {}, unknown);
  await send(service, "/livez", { headers: { ...bearer(phone.key), "X-Request-Id": "open" } });
  expect(lineOf("known")).toMatchObject({ status: 422, key: "phone-app" });
  expect(lineOf("unknown")).toMatchObject({ status: 401, code: "unauthorized" });
  for (const id of ["unknown", "open"]) expect(lineOf(id)).not.toHaveProperty("key");
  for (const { key, entry } of [phone, batch, stranger]) {
    expect(service.log.join()).not.toContain(key.slice(4));
    expect(service.log.join()).not.toContain(entry.sha256);
  }
});

test("without keys configured a key is ignored, and the log names none", async () => {
  await using open = await startService({ CLIP_WEIGHTS: "openai", NVIDIA_API_KEY: "nvapi-fake" });
  for (const headers of [{}, bearer(phone.key)]) {
    await expectProblem(await postJson(open, "/vectorize-image", {}, headers), "validation-failed");
  }
  expect(open.log.join()).not.toContain('"key"');
});
