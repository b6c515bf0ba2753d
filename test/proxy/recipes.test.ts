/** The recipes of `docs/reverse-proxy/`, with the real Caddy and nginx, TLS, and the real service behind. */
import { afterAll, beforeAll, expect, test } from "bun:test";
import { mkdtemp, readdir, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { until } from "../support/client.ts";
import { leftOut } from "../support/left-out.ts";
import { type Bytes, makeJpeg } from "../support/pictures.ts";
import {
  missingPrograms,
  type ProxyName,
  proxyNames,
  type ReverseProxy,
  siteName,
  startReverseProxy,
} from "../support/reverse-proxy.ts";
import { startService, type TestService } from "../support/service.ts";

const upload = "/vectorize-image-upload?model=clip-ViT-B-32";
const json = ["--header", "Content-Type: application/json"];
const behindProxy = { TRUSTED_PROXIES: "127.0.0.1", RATE_LIMIT: "30/h" };
const MIB = 1024 * 1024;

let folder: string;
let jpeg: Bytes;
let service: TestService;
/** Another, which takes no work. */
let full: TestService;
const proxies = new Map<ProxyName, ReverseProxy>();

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), "imagesvc-recipes-"));
  service = await startService(behindProxy);
  full = await startService({ CLIP_WEIGHTS: "openai", QUEUE_LIMIT: "0", ...behindProxy });
  jpeg = await makeJpeg();
  await Bun.write(join(folder, "small.jpg"), jpeg);
  await Bun.write(join(folder, "20-mib.jpg"), paddedJpeg(20 * MIB));
  await Bun.write(join(folder, "65-mib.bin"), new Uint8Array(65 * MIB));
  for (const name of proxyNames) {
    if (missingPrograms(name).length > 0) continue;
    proxies.set(name, await startReverseProxy(name, service.url));
  }
});

afterAll(async () => {
  for (const proxy of proxies.values()) await proxy[Symbol.asyncDispose]();
  await service.stop();
  await full.stop();
  await rm(folder, { recursive: true });
});

/** A picture of so many bytes: nothing counts behind a JPEG's end. */
function paddedJpeg(bytes: number): Bytes {
  const padded = new Uint8Array(bytes);
  padded.set(jpeg);
  return padded;
}

function proxyOf(name: ProxyName): ReverseProxy {
  const proxy = proxies.get(name);
  if (proxy === undefined) throw new Error(`${name} was not started`);
  return proxy;
}

const file = (name: string) => ["--form", `file=@${join(folder, name)}`];
/** curl's options for a client with another address, which counts as another client. */
const from = (address: string) => ["--interface", address];

for (const name of proxyNames) {
  const missing = missingPrograms(name);
  if (missing.length > 0) {
    test(`the recipe for ${name}`, () => leftOut(`the recipe for ${name}, for want of ${missing}`));
    continue;
  }

  const curl: ReverseProxy["curl"] = (...request) => proxyOf(name).curl(...request);

  test(`behind ${name} a picture becomes a vector, over HTTP/2 and HTTP/1.1, under the client's request id`, async () => {
    for (const [protocol, option] of [
      ["HTTP/2", "--http2"],
      ["HTTP/1.1", "--http1.1"],
    ] as const) {
      const id = ["--header", "X-Request-Id: through-the-proxy"];
      const answer = await curl(upload, option, ...id, ...file("small.jpg"));
      expect(answer).toMatchObject({ status: 200, protocol });
      expect(answer.headers.get("x-request-id")).toBe("through-the-proxy");
      expect(JSON.parse(answer.body).vector).toHaveLength(512);
    }
  });

  test(`behind ${name} health passes`, async () => {
    expect(await curl("/livez")).toMatchObject({ status: 200 });
    expect(await curl("/readyz")).toMatchObject({ status: 200 });
  });

  test(`behind ${name} an upload of 20 MiB passes`, async () => {
    const { status, body } = await curl(upload, ...file("20-mib.jpg"));
    expect({ status, code: JSON.parse(body).code }).toEqual({ status: 200, code: undefined });
  });

  test.each([
    ["HTTP/2", ["--http2"]],
    ["HTTP/1.1", ["--http1.1"]],
    ["HTTP/1.1 in chunks", ["--http1.1", "--header", "Transfer-Encoding: chunked"]],
  ])(
    `behind ${name} an upload of 65 MiB is the service's own 413, over %s`,
    async (_protocol, options) => {
      const answer = await curl(upload, ...options, ...file("65-mib.bin"));
      expect(answer.status).toBe(413);
      expect(answer.headers.get("content-type")).toBe("application/problem+json");
      expect(JSON.parse(answer.body).code).toBe("body-too-large");
    },
  );

  test(`behind ${name} an upload streams: the service writes its beginning before its end is sent`, async () => {
    const before = (await readdir(service.downloadsDir)).length;
    const socket = proxyOf(name).connect();
    let answer = "";
    socket.on("data", (chunk) => {
      answer += chunk.toString("latin1");
    });
    const head = '--x\r\nContent-Disposition: form-data; name="file"; filename="slow.jpg"\r\n\r\n';
    const picture = paddedJpeg(2 * MIB);
    const length = head.length + 2 * MIB + "\r\n--x--\r\n".length;
    socket.write(
      `POST ${upload} HTTP/1.1\r\nHost: ${siteName}\r\nContent-Type: multipart/form-data; boundary=x\r\nContent-Length: ${length}\r\nConnection: close\r\n\r\n${head}`,
    );
    socket.write(picture.subarray(0, MIB));
    await until(async () => (await readdir(service.downloadsDir)).length > before);
    expect(answer).toBe("");
    socket.write(picture.subarray(MIB));
    socket.write("\r\n--x--\r\n");
    await until(() => answer.includes("HTTP/1.1 200 "));
    socket.destroy();
  });

  test(`behind ${name} a page of the same site may call, one of another site may not`, async () => {
    const post = [...json, "--data", "{}"];
    const own = await curl("/embed-text", ...post, "--header", `Origin: ${proxyOf(name).origin}`);
    expect(JSON.parse(own.body).code).toBe("validation-failed");
    const other = ["--header", "Origin: https://evil.example.com"];
    const foreign = await curl("/embed-text", ...post, ...other);
    expect(JSON.parse(foreign.body).code).toBe("forbidden-origin");
  });

  test(`behind ${name} the limit counts the client's own address, whatever the client says of itself`, async () => {
    const address = `127.0.1.${proxyNames.indexOf(name) + 1}`;
    const lie = ["--header", "X-Forwarded-For: 203.0.113.1", ...json, "--data", "{}"];
    const statuses: number[] = [];
    for (let sent = 0; sent < 31; sent += 1) {
      statuses.push((await curl("/embed-text", ...from(address), ...lie)).status);
    }
    expect(statuses).toEqual([...Array<number>(30).fill(422), 429]);
    expect(service.log.join("")).toContain(`"client":"${address}"`);
    const neighbour = await curl("/embed-text", ...from(`127.0.2.1`), ...lie);
    expect(neighbour.status).toBe(422);

    const refused = await curl("/embed-text", ...from(address), ...lie);
    expect(Number(refused.headers.get("retry-after"))).toBeGreaterThan(0);
    expect(refused.headers.get("ratelimit-policy")).toBe('"client";q=30;w=3600');
    expect(JSON.parse(refused.body).code).toBe("rate-limited");
  });

  test(`behind ${name} a 503 passes with its Retry-After`, async () => {
    await using other = await startReverseProxy(name, full.url);
    const { status, headers } = await other.curl("/embed-text", ...json, "--data", "{}");
    expect(status).toBe(503);
    expect(Number(headers.get("retry-after"))).toBeGreaterThan(0);
  });
}
