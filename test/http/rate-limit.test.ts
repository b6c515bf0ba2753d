/** Who asks too often is refused before the body is read, and nobody else is. */
import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createApiKey, withApiKey } from "../../src/store/api-keys.ts";
import { expectProblem, postJson, send } from "../support/client.ts";
import { runMain } from "../support/process.ts";
import { connectRaw, headOf } from "../support/raw-client.ts";
import { startService, type TestService } from "../support/service.ts";

/** An hour is long enough for no request to come back while a test runs. */
const limit = { RATE_LIMIT: "3/h", CLIP_WEIGHTS: "openai" } as const;
const path = "/vectorize-image";

/** Sends requests one after the other until one is refused. */
async function countAllowed(
  service: TestService,
  headers: Readonly<Record<string, string>>,
): Promise<number> {
  for (let allowed = 0; allowed < 10; allowed += 1) {
    const { status } = await postJson(service, path, {}, headers);
    if (status === 429) return allowed;
  }
  return Number.POSITIVE_INFINITY;
}

describe("with a limit", () => {
  let service: TestService;
  beforeAll(async () => {
    service = await startService(limit);
  });
  afterAll(() => service.stop());

  test("each answer says what is left, and one request too many is a 429 that says when to come back", async () => {
    for (const left of [2, 1, 0]) {
      const { status, headers } = await postJson(service, path, {});
      expect(status).not.toBe(429);
      expect(headers.get("ratelimit-policy")).toBe('"client";q=3;w=3600');
      expect(headers.get("ratelimit")).toMatch(new RegExp(`^"client";r=${left};t=(1200|1199)$`));
    }
    const refused = await postJson(service, path, {}, { "X-Request-Id": "refused" });
    const { detail } = await expectProblem(refused, "rate-limited");
    expect(detail).toMatch(/^More than 3 requests per hour: come back in \d+ s\.$/);
    const retryAfterS = Number(refused.headers.get("retry-after"));
    expect(retryAfterS).toBeGreaterThan(1100);
    expect(retryAfterS).toBeLessThanOrEqual(1200);
    expect(refused.headers.get("ratelimit")).toBe(`"client";r=0;t=${retryAfterS}`);
  });

  test("the refusal comes before the body is read", async () => {
    const client = await connectRaw(service);
    const headers = { "Content-Type": "application/json", "Content-Length": 1000 };
    client.write(headOf(path, headers));
    expect(await client.received(/"code":"rate-limited"/)).toStartWith("HTTP/1.1 429 ");
    client.hangUp();
  });

  test("every request for vectors shares the limit", async () => {
    for (const other of ["/upload", "/vectorize-image-base64", "/embed-text", "/similarity"]) {
      await expectProblem(await postJson(service, other, {}), "rate-limited");
    }
  });

  test("health, documents and preflights are never counted, and say nothing of a limit", async () => {
    for (const other of ["/livez", "/docs", "/openapi.json", "/problems/rate-limited"]) {
      const { status, headers } = await send(service, other);
      expect(status).toBe(200);
      expect(headers.get("ratelimit")).toBeNull();
    }
    const headers = { Origin: "http://localhost:3000", "Access-Control-Request-Method": "POST" };
    const preflight = await send(service, path, { method: "OPTIONS", headers });
    expect(preflight.status).toBe(204);
  });

  test("a header of the client's own makes it nobody else", async () => {
    for (const [name, value] of [
      ["X-Forwarded-For", "203.0.113.9"],
      ["X-Real-IP", "203.0.113.9"],
      ["Forwarded", "for=203.0.113.9"],
    ] as const) {
      await expectProblem(await postJson(service, path, {}, { [name]: value }), "rate-limited");
    }
  });

  test("the log names the client that was refused, and no other", async () => {
    const lines = service.log.filter((line) => line.includes('"message":"request"'));
    expect(lines.find((line) => line.includes('"refused"'))).toContain('"client":"127.0.0.1"');
    for (const line of lines) {
      expect(line.includes('"client"')).toBe(line.includes('"code":"rate-limited"'));
    }
  });
});

describe("behind a trusted proxy", () => {
  let service: TestService;
  beforeAll(async () => {
    service = await startService({ ...limit, TRUSTED_PROXIES: "127.0.0.1,10.0.0.0/8" });
  });
  afterAll(() => service.stop());

  test("each client that it names has a limit of its own", async () => {
    expect(await countAllowed(service, { "X-Forwarded-For": "203.0.113.1" })).toBe(3);
    expect(await countAllowed(service, { "X-Forwarded-For": "203.0.113.2, 10.0.0.7" })).toBe(3);
    expect(await countAllowed(service, { "X-Forwarded-For": "203.0.113.1:4711" })).toBe(0);
  });

  test("what a client has written before it is not believed", async () => {
    expect(await countAllowed(service, { "X-Forwarded-For": "8.8.8.8, 203.0.113.2" })).toBe(0);
  });

  test("several lines of the header are one", async () => {
    const client = await connectRaw(service);
    const body = "Content-Type: application/json\r\nContent-Length: 1000\r\n";
    const lines = "X-Forwarded-For: 8.8.8.8\r\nX-Forwarded-For: 203.0.113.2\r\n";
    client.write(`POST ${path} HTTP/1.1\r\nHost: localhost\r\n${lines}${body}\r\n`);
    await client.received(/"code":"rate-limited"/);
    client.hangUp();
  });

  test("addresses of one IPv6 /64 share a limit, the next one has its own", async () => {
    expect(await countAllowed(service, { "X-Forwarded-For": "2001:db8:0:1::1" })).toBe(3);
    expect(await countAllowed(service, { "X-Forwarded-For": "[2001:db8:0:1:ffff::9]:80" })).toBe(0);
    expect(await countAllowed(service, { "X-Forwarded-For": "2001:db8:0:2::1" })).toBe(3);
    expect(service.log.join("")).toContain('"client":"2001:db8:0:1::/64"');
  });

  test("a proxy that names nobody is the client itself", async () => {
    expect(await countAllowed(service, {})).toBe(3);
    expect(await countAllowed(service, { "X-Forwarded-For": "unknown" })).toBe(0);
  });

  test("a refused origin costs nothing", async () => {
    const headers = { "X-Forwarded-For": "203.0.113.3", Origin: "https://evil.example.com" };
    await expectProblem(await postJson(service, path, {}, headers), "forbidden-origin");
    expect(await countAllowed(service, { "X-Forwarded-For": "203.0.113.3" })).toBe(3);
  });
});

test("where API keys are configured, each has a limit of its own, whatever the address", async () => {
  const folder = await mkdtemp(join(tmpdir(), "imagesvc-rate-limit-"));
  try {
    const [phone, batch] = [createApiKey("phone", new Date()), createApiKey("batch", new Date())];
    const file = join(folder, "api-keys");
    await Bun.write(file, [phone.entry, batch.entry].reduce(withApiKey, ""));
    await using service = await startService({
      ...limit,
      API_KEYS_FILE: file,
      TRUSTED_PROXIES: "127.0.0.1",
    });
    expect(await countAllowed(service, { Authorization: `Bearer ${phone.key}` })).toBe(3);
    expect(await countAllowed(service, { Authorization: `Bearer ${batch.key}` })).toBe(3);
    const elsewhere = { Authorization: `Bearer ${phone.key}`, "X-Forwarded-For": "203.0.113.4" };
    expect(await countAllowed(service, elsewhere)).toBe(0);
    expect(service.log.join("")).toContain('"key":"phone"');
    expect(service.log.join("")).not.toContain('"client"');
    await expectProblem(await postJson(service, path, {}), "unauthorized");
  } finally {
    await rm(folder, { recursive: true });
  }
});

test("without a limit nobody is counted", async () => {
  await using service = await startService({ CLIP_WEIGHTS: "openai" });
  expect(await countAllowed(service, {})).toBe(Number.POSITIVE_INFINITY);
  const { headers } = await postJson(service, path, {});
  expect(headers.get("ratelimit")).toBeNull();
  expect(headers.get("ratelimit-policy")).toBeNull();
});

test("a proxy that is no address stops the start", async () => {
  const { code, errors } = await runMain(["serve"], { TRUSTED_PROXIES: "10.0.0.0/33,::1" });
  expect({ code, errors }).toEqual({
    code: 2,
    errors: 'imagesvc: TRUSTED_PROXIES contains "10.0.0.0/33": each must be an address or a CIDR\n',
  });
});
