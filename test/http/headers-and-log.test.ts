import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { createAccessLog } from "../../src/http/access-log.ts";
import { beginCall } from "../../src/http/call.ts";
import { base64Of, postFile, postJson, postUrlencoded, send, until } from "../support/client.ts";
import { scrape } from "../support/metrics.ts";
import { type NvidiaFake, startNvidiaFake } from "../support/nvidia-fake.ts";
import { type Origin, respond, startOrigin } from "../support/origin.ts";
import { type Bytes, makeJpeg } from "../support/pictures.ts";
import { connectRaw } from "../support/raw-client.ts";
import { startService, type TestService } from "../support/service.ts";

let service: TestService;
let nvidia: NvidiaFake;
let origin: Origin;
let jpeg: Bytes;

beforeAll(async () => {
  jpeg = await makeJpeg();
  nvidia = startNvidiaFake({ key: "nvapi-very-secret" });
  origin = await startOrigin({ "/image.jpg?token=very-secret": respond({ body: jpeg }) });
  service = await startService({
    FETCH_ALLOW: "127.0.0.1",
    NVIDIA_API_KEY: "nvapi-very-secret",
    NVIDIA_BASE_URL: nvidia.url,
    // So that it may be called by any name.
    TRUSTED_PROXIES: "127.0.0.1",
  });
});

afterAll(async () => {
  await service.stop();
  await origin[Symbol.asyncDispose]();
  await nvidia.stop();
});

interface LogLine {
  readonly time: string;
  readonly level: string;
  readonly message: string;
  readonly request_id: string;
  readonly ms: number;
}

function linesOf(requestId: string): readonly LogLine[] {
  return service.log
    .filter((line) => line.includes(requestId))
    .map((line): LogLine => JSON.parse(line));
}

for (const id of ["abc", "a.b_c~d+e-f", "x".repeat(128), "01J9ZX-5"]) {
  test(`the client's request id "${id.slice(0, 20)}" is taken`, async () => {
    const response = await send(service, "/livez", { headers: { "X-Request-Id": id } });
    expect(response.headers.get("x-request-id")).toBe(id);
  });
}

for (const [what, id] of [
  ["too long", "x".repeat(129)],
  ["with a blank", "a b"],
  ["that could break a log", 'a"}{"b'],
  ["empty", ""],
] as const) {
  test(`a request id that is ${what} is replaced`, async () => {
    const response = await send(service, "/livez", { headers: { "X-Request-Id": id } });
    expect(response.headers.get("x-request-id")).toMatch(/^[0-9a-f-]{36}$/);
  });
}

test("every answer has its own request id, errors too", async () => {
  const ids = await Promise.all(
    ["/livez", "/docs", "/nothing", "/", "/upload"].map(async (path) => {
      return (await send(service, path)).headers.get("x-request-id");
    }),
  );
  for (const id of ids) expect(id).toMatch(/^[0-9a-f-]{36}$/);
  expect(new Set(ids).size).toBe(ids.length);
});

function stagesOf(response: Response): Readonly<Record<string, number>> {
  const header = response.headers.get("server-timing") ?? "";
  const stages = header.split(", ").map((stage) => {
    const [, name = "", ms = ""] = /^([a-z]+);dur=(\d+\.\d)$/.exec(stage) ?? [];
    return [name, Number(ms)];
  });
  return Object.fromEntries(stages);
}

test("Server-Timing names the stages of a CLIP request", async () => {
  const response = await postFile(service, jpeg, { query: "?model=clip-ViT-B-32" });
  const stages = stagesOf(response);
  expect(Object.keys(stages).sort()).toEqual(["decode", "infer", "queue", "total"]);
  expect(stages["infer"]).toBeGreaterThan(0);
  expect(stages["total"]).toBeGreaterThanOrEqual(stages["infer"] ?? Number.NaN);
});

test("Server-Timing names the fetch of an image URL, and the upstream", async () => {
  const image_url = origin.url("/image.jpg?token=very-secret");
  const local = await postUrlencoded(service, "/upload", { imageUrl: image_url });
  expect(Object.keys(stagesOf(local))).toContain("fetch");
  const hosted = await postJson(service, "/vectorize-image", { image_url });
  const stages = Object.keys(stagesOf(hosted)).sort();
  expect(stages).toEqual(["decode", "fetch", "queue", "total", "upstream"]);
});

test("a host that fails shows as a fetch, in Server-Timing, in the log and in the metrics", async () => {
  const fetches = async () =>
    (await scrape(service)).sum("imagesvc_stage_duration_seconds_count", { stage: "fetch" });
  const before = await fetches();
  const imageUrl = origin.url("/gone.jpg");
  const response = await send(service, "/upload", {
    method: "POST",
    headers: { "X-Request-Id": "gone" },
    body: new URLSearchParams({ imageUrl }),
  });
  expect(response.status).toBe(502);
  expect(Object.keys(stagesOf(response)).sort()).toEqual(["fetch", "total"]);
  expect(linesOf("gone")).toMatchObject([{ code: "origin-error", fetch_ms: expect.any(Number) }]);
  expect(await fetches()).toBe(before + 1);
});

test("Server-Timing has at least the total, on errors too", async () => {
  for (const path of ["/livez", "/nothing", "/upload"]) {
    expect(stagesOf(await send(service, path))["total"]).toBeGreaterThanOrEqual(0);
  }
});

test("a request is one line of JSON in the log, with its outcome", async () => {
  const headers = { "X-Request-Id": "good-one" };
  await postJson(
    service,
    "/vectorize-image-base64?model=clip-ViT-B-32",
    { image_base64: base64Of(jpeg) },
    headers,
  );
  const lines = linesOf("good-one");
  expect(lines).toHaveLength(1);
  expect(lines[0]).toEqual({
    time: expect.stringMatching(/^\d{4}-\d\d-\d\dT[\d:.]+Z$/),
    level: "info",
    message: "request",
    request_id: "good-one",
    method: "POST",
    path: "/vectorize-image-base64",
    route: "/vectorize-image-base64",
    status: 200,
    ms: expect.any(Number),
    model: "clip-ViT-B-32@synthetic",
    source: "base64",
    inputs: 1,
    bytes: jpeg.byteLength,
    pixels: expect.any(Number),
    queue_ms: expect.any(Number),
    decode_ms: expect.any(Number),
    infer_ms: expect.any(Number),
  } as unknown as LogLine);
});

test("a refused request is one line too, with the problem's code", async () => {
  await postJson(service, "/vectorize-image", "{", { "X-Request-Id": "bad-one" });
  const lines = linesOf("bad-one");
  expect(lines).toHaveLength(1);
  expect(lines[0]).toMatchObject({ level: "info", status: 400, code: "malformed-body" });
});

test("a line says where the time went, and by route", async () => {
  const image_url = origin.url("/image.jpg?token=very-secret");
  await postJson(service, "/vectorize-image", { image_url }, { "X-Request-Id": "hosted" });
  expect(linesOf("hosted")).toMatchObject([
    {
      route: "/vectorize-image",
      source: "url",
      inputs: 1,
      bytes: jpeg.byteLength,
      fetch_ms: expect.any(Number),
      upstream_ms: expect.any(Number),
    },
  ]);
  await send(service, "/embeddings/0123", { headers: { "X-Request-Id": "look-up" } });
  expect(linesOf("look-up")).toMatchObject([{ route: "/embeddings/:sha256" }]);
  await send(service, "/nothing", { headers: { "X-Request-Id": "no-route" } });
  expect(linesOf("no-route")[0]).not.toHaveProperty("route");
});

test("what failed in a request that was answered all the same is in its line, and is counted", async () => {
  const counted = async (code: string) =>
    (await scrape(service)).sum("imagesvc_partial_failures_total", { code });
  const before = await counted("invalid-base64");
  const input = ["a", { image: "!" }, { image: "?" }, { image: origin.url("/gone.jpg") }];
  const many = { model: "clip-ViT-B-32", input, on_error: "include" };
  await postJson(service, "/v1/embeddings", many, { "X-Request-Id": "some-of-many" });
  expect(linesOf("some-of-many")).toMatchObject([
    { status: 200, failed: 3, failed_codes: "invalid-base64+origin-error" },
  ]);
  expect(await counted("invalid-base64")).toBe(before + 2);
  const each = { image_base64: base64Of(jpeg), models: ["clip-ViT-B-32", "bert"] };
  await postJson(service, "/embeddings", each, { "X-Request-Id": "one-model" });
  expect(linesOf("one-model")).toMatchObject([{ failed: 1, failed_codes: "unknown-model" }]);
});

test("texts are told as such, and how many they were", async () => {
  await postJson(service, "/embed-text", { text: ["a", "b"] }, { "X-Request-Id": "texts" });
  expect(linesOf("texts")).toMatchObject([{ source: "text", inputs: 2 }]);
  await postJson(
    service,
    "/similarity",
    { image_base64: base64Of(jpeg), texts: ["a"] },
    { "X-Request-Id": "both" },
  );
  const [line] = linesOf("both");
  expect(line).toMatchObject({ inputs: 2, source: expect.stringMatching(/base64/) });
});

test("whether the cache knew an image is in its line", async () => {
  await using remembering = await startService({ CACHE_MAX_BYTES: "100000000" });
  const body = { image_base64: base64Of(jpeg) };
  const path = "/vectorize-image-base64?model=clip-ViT-B-32";
  for (const id of ["first", "second"]) {
    await postJson(remembering, path, body, { "X-Request-Id": id });
  }
  const caches = ["first", "second"].map((id) => {
    const line = remembering.log.find((one) => one.includes(`"request_id":"${id}"`)) ?? "{}";
    return JSON.parse(line).cache;
  });
  expect(caches).toEqual(["miss", "hit"]);
});

test("health checks and scrapes are logged for debugging only", async () => {
  for (const path of ["/livez", "/readyz", "/metrics"]) {
    await send(service, path, { headers: { "X-Request-Id": `probe${path.slice(1)}` } });
    expect(linesOf(`probe${path.slice(1)}`)).toMatchObject([{ level: "debug" }]);
  }
});

describe("a probe is worth a line", () => {
  /** The levels of lines, one a probe, in order. */
  function levelsOf(statuses: readonly number[], healthSample = 0): readonly string[] {
    const levels: string[] = [];
    const note = (level: string) => () => void levels.push(level);
    const log = {
      debug: note("debug"),
      info: note("info"),
      warn: note("warn"),
      error: note("error"),
    };
    const logServed = createAccessLog({ log, healthSample });
    for (const status of statuses) {
      const call = beginCall(new Request("http://localhost/readyz"), {
        keepOpen: () => {},
        peerAddress: () => undefined,
      });
      const served = {
        ...{ requestId: call.requestId, method: "GET", route: "/readyz", status },
        ...{ code: undefined, model: undefined, startedAt: 0, endedAt: 1, trail: call.trail },
      };
      logServed(served, call, "/readyz");
    }
    return levels;
  }

  test("when its answer is another than before", () => {
    expect(levelsOf([200, 503, 503, 503, 200, 200])).toEqual([
      ...["debug", "info", "debug", "debug", "info", "debug"],
    ]);
  });

  test("when the first is none of good health", () => {
    expect(levelsOf([503, 503])).toEqual(["info", "debug"]);
  });

  test("when it is one in as many as LOG_HEALTH_SAMPLE says", () => {
    const healthy = [200, 200, 200, 200, 200, 200];
    expect(levelsOf(healthy, 3)).toEqual([...["debug", "debug", "info", "debug", "debug", "info"]]);
    expect(levelsOf(healthy, 1)).toEqual(healthy.map(() => "info"));
  });
});

test("no log line has bytes, keys or query strings", async () => {
  const imageUrl = origin.url("/image.jpg?token=very-secret");
  await postUrlencoded(service, "/upload?api_key=very-secret", { imageUrl });
  await postJson(service, "/vectorize-image?x=very-secret", { image_url: imageUrl });
  await postJson(service, "/vectorize-image", { image_url: "http://u:very-secret@x.example/" });
  const missing = origin.url("/missing?token=very-secret");
  await postUrlencoded(service, "/upload", { imageUrl: missing });
  await postUrlencoded(service, "/upload", { imageUrl: "http://10.0.0.1/?t=very-secret" });
  const unquoted = `{"image_base64": ${base64Of(jpeg)}`;
  expect((await postJson(service, "/vectorize-image-base64", unquoted)).status).toBe(400);
  const text = service.log.join("");
  expect(text).not.toContain("very-secret");
  expect(text).not.toContain(base64Of(jpeg).slice(0, 8));
  expect(text).not.toContain(base64Of(jpeg).slice(0, 40));
});

test("a path that is too long is cut in the log", async () => {
  await send(service, `/${"x".repeat(5000)}`, { headers: { "X-Request-Id": "long-path" } });
  expect(service.log.find((line) => line.includes("long-path"))?.length).toBeLessThan(500);
});

test("an HTTP/1.0 client that names no host is served, as load balancers check", async () => {
  const client = await connectRaw(service);
  client.write("GET /livez HTTP/1.0\r\n\r\n");
  const answer = await client.closed();
  expect(answer).toStartWith("HTTP/1.1 200 ");
  expect(answer).toEndWith('{"status":"alive"}');
});

for (const host of ["ml", "a", "x:80", "[::1", "%%%", "a b"]) {
  test(`a request for the host "${host}" finds its path`, async () => {
    const client = await connectRaw(service);
    client.write(`GET /livez HTTP/1.1\r\nHost: ${host}\r\nConnection: close\r\n\r\n`);
    expect(await client.closed()).toStartWith("HTTP/1.1 200 ");
  });

  test(`a form for the host "${host}" is read`, async () => {
    const client = await connectRaw(service);
    const body = `imageUrl=${encodeURIComponent(origin.url("/image.jpg?token=very-secret"))}`;
    client.write(
      `POST /upload HTTP/1.1\r\nHost: ${host}\r\nConnection: close\r\nContent-Type: application/x-www-form-urlencoded\r\nContent-Length: ${body.length}\r\n\r\n${body}`,
    );
    expect(await client.closed()).toStartWith("HTTP/1.1 200 ");
  });
}

test("a client that named no host and hangs up is noticed all the same", async () => {
  const client = await connectRaw(service);
  client.write("POST /upload HTTP/1.0\r\nX-Request-Id: no-host\r\nContent-Length: 500\r\n");
  client.write("Content-Type: application/x-www-form-urlencoded\r\n\r\nimageUrl=");
  await Bun.sleep(30);
  client.hangUp();
  await until(() => linesOf("no-host").length === 1);
  expect(linesOf("no-host")).toMatchObject([{ left: true }]);
});

test("answers may not be sniffed for another type", async () => {
  for (const path of ["/livez", "/docs", "/nothing"]) {
    const response = await send(service, path);
    expect(response.headers.get("x-content-type-options")).toBe("nosniff");
  }
});
