/** By which names a service on loopback may be called: a page whose name was rebound to it may not. */
import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { createHostGuard } from "../../src/http/host.ts";
import { parseTrustedProxies } from "../../src/net/client-address.ts";
import { expectProblem, postJson, send } from "../support/client.ts";
import { connectRaw } from "../support/raw-client.ts";
import { startService, type TestService } from "../support/service.ts";

let service: TestService;

beforeAll(async () => {
  service = await startService({ CLIP_WEIGHTS: "openai", CORS_ORIGINS: "*" });
});

afterAll(() => service.stop());

for (const host of [
  "localhost",
  "LOCALHOST:1",
  "localhost.",
  "app.localhost",
  "[::ffff:127.0.0.1]:80",
  "127.0.0.1",
  "127.9.9.9:80",
  "[::1]:80",
]) {
  test(`a request for ${host} is served`, async () => {
    expect((await send(service, "/livez", { headers: { Host: host } })).status).toBe(200);
  });
}

for (const host of [
  "evil.example",
  "evil.example:8000",
  "localhost.evil.example",
  "evil.localhost.example",
  "127.0.0.1.nip.io",
  "127.0.0.1@evil.example",
  "localhost, evil.example",
  "128.0.0.1",
  "2130706433",
  "0.0.0.0",
  "[::2]",
  "[::1",
  "169.254.169.254",
]) {
  test(`a request for ${host} is refused, whatever it asks for`, async () => {
    for (const path of ["/", "/livez", "/docs", "/openapi.json", "/nothing"]) {
      const response = await send(service, path, { headers: { Host: host } });
      await expectProblem(response, "forbidden-origin");
    }
    const origin = { Host: host, Origin: "http://evil.example" };
    await expectProblem(await postJson(service, "/upload", {}, origin), "forbidden-origin");
    const preflight = { method: "OPTIONS", headers: origin };
    await expectProblem(await send(service, "/upload", preflight), "forbidden-origin");
  });
}

test("a request without Host, which no browser sends, is served", async () => {
  const client = await connectRaw(service);
  client.write("GET /livez HTTP/1.0\r\n\r\n");
  expect(await client.received(/alive/)).toStartWith("HTTP/1.1 200 ");
  client.hangUp();
});

test("a target that names localhost does not outweigh Host", async () => {
  const client = await connectRaw(service);
  client.write("GET http://localhost/livez HTTP/1.1\r\nHost: evil.example\r\n\r\n");
  expect(await client.received(/forbidden-origin/)).toStartWith("HTTP/1.1 403 ");
  client.hangUp();
});

test("a second Host does not outweigh the first, nor the first the second", async () => {
  for (const [one, other] of [
    ["localhost", "evil.example"],
    ["evil.example", "localhost"],
  ]) {
    const client = await connectRaw(service);
    client.write(`GET /livez HTTP/1.1\r\nHost: ${one}\r\nHost: ${other}\r\n\r\n`);
    expect(await client.received(/\r\n\r\n/)).toMatch(/^HTTP\/1\.1 40[03] /);
    client.hangUp();
  }
});

test("a refusal does not wait for the body", async () => {
  const client = await connectRaw(service);
  client.write("POST /upload HTTP/1.1\r\nHost: evil.example\r\nContent-Length: 1000\r\n\r\n");
  expect(await client.received(/forbidden-origin/)).toStartWith("HTTP/1.1 403 ");
  client.hangUp();
});

describe("a guard", () => {
  const trusted = parseTrustedProxies(["127.0.0.1"]);
  const renamed = new Request("http://service/", { headers: { Host: "images.example" } });

  for (const hostname of ["127.0.0.1", "127.1.2.3", "::1", "0:0:0:0:0:0:0:1", "localhost"]) {
    test(`is there where the service listens on ${hostname}`, () => {
      const guard = createHostGuard(hostname, []);
      expect(() => guard?.(renamed, "127.0.0.1")).toThrow("this machine only");
    });
  }

  for (const hostname of ["0.0.0.0", "::", "192.168.1.5", "fd00::1", "images.example"]) {
    test(`is not there where it listens on ${hostname}`, () => {
      expect(createHostGuard(hostname, [])).toBeUndefined();
    });
  }

  test("believes a proxy of the operator's own, and nobody else", () => {
    const guard = createHostGuard("127.0.0.1", trusted);
    expect(() => guard?.(renamed, "127.0.0.1")).not.toThrow();
    expect(() => guard?.(renamed, "127.0.0.2")).toThrow("this machine only");
    expect(() => guard?.(renamed, undefined)).toThrow("this machine only");
  });
});
