/** `/metrics`: what it says, to whom, and that Prometheus reads it. */
import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { join } from "node:path";
import { createApiKey, withApiKey } from "../../src/store/api-keys.ts";
import {
  answerOf,
  base64Of,
  expectProblem,
  postFile,
  postJson,
  postUrlencoded,
  send,
} from "../support/client.ts";
import { promtool, scrape } from "../support/metrics.ts";
import { type NvidiaFake, startNvidiaFake } from "../support/nvidia-fake.ts";
import { type Origin, respond, startOrigin } from "../support/origin.ts";
import { type Bytes, makeJpeg } from "../support/pictures.ts";
import { reachingFakes, startService, type TestService } from "../support/service.ts";
import { temporaryFolder } from "../support/tiny-clip.ts";

let service: TestService;
let nvidia: NvidiaFake;
let origin: Origin;
let jpeg: Bytes;

beforeAll(async () => {
  jpeg = await makeJpeg();
  nvidia = startNvidiaFake();
  origin = await startOrigin({ "/image.jpg": respond({ body: jpeg }) });
  service = await startService({ ...reachingFakes(nvidia), CACHE_MAX_BYTES: "100000000" });
});

afterAll(async () => {
  await service.stop();
  await origin[Symbol.asyncDispose]();
  await nvidia.stop();
});

/** What a metric grew by while something was done. */
async function growth(
  act: () => Promise<unknown>,
  name: string,
  labels: Readonly<Record<string, string>> = {},
): Promise<number> {
  const before = (await scrape(service)).sum(name, labels);
  await act();
  return (await scrape(service)).sum(name, labels) - before;
}

test("requests are counted by route, method, status and problem code", async () => {
  const labels = {
    route: "/vectorize-image",
    method: "POST",
    status: "400",
    code: "malformed-body",
  };
  const act = () => postJson(service, "/vectorize-image/", "{");
  expect(await growth(act, "imagesvc_http_requests_total", labels)).toBe(1);
  const count = "imagesvc_http_request_duration_seconds_count";
  expect(await growth(act, count, { route: "/vectorize-image" })).toBe(1);
});

test("paths that clients make up, and methods too, add no series", async () => {
  await send(service, "/made-up");
  await send(service, "/made-up", { method: "BREW" });
  const before = (await scrape(service)).samples.length;
  for (let made = 0; made < 50; made++) {
    await send(service, `/made-up/${made}?x=${made}`);
    await send(service, `/embeddings/${made}`);
    await send(service, `/made-up/${made}`, { method: `M${made}` });
  }
  const after = await scrape(service);
  // The route of look-ups is a new one.
  expect(after.samples.length - before).toBeLessThan(30);
  expect(after.sum("imagesvc_http_requests_total", { route: "other" })).toBeGreaterThan(100);
  expect(after.text).not.toContain("made-up");
});

test("the stages of an image of CLIP and of a fetched one of NVIDIA are timed in seconds", async () => {
  const before = await scrape(service);
  await answerOf(await postFile(service, jpeg, { query: "?model=clip-ViT-B-32" }));
  const image_url = origin.url("/image.jpg");
  await answerOf(await postJson(service, "/vectorize-image", { image_url }));
  const after = await scrape(service);
  const grown = (stage: string, suffix: string) => {
    const name = `imagesvc_stage_duration_seconds_${suffix}`;
    return after.sum(name, { stage }) - before.sum(name, { stage });
  };
  for (const [stage, count] of Object.entries({
    fetch: 1,
    queue: 2,
    decode: 2,
    infer: 1,
    upstream: 1,
  })) {
    expect({ stage, count: grown(stage, "count") }).toEqual({ stage, count });
    expect(grown(stage, "sum")).toBeLessThan(60);
  }
  expect(grown("infer", "sum")).toBeGreaterThan(0);
});

test("inputs, their bytes and pixels, and cache hits are counted", async () => {
  const image = await makeJpeg({ width: 40, height: 30 });
  const embed = () =>
    postJson(service, "/vectorize-image-base64?model=clip-ViT-B-32", {
      image_base64: base64Of(image),
    });
  const before = await scrape(service);
  await answerOf(await embed());
  await answerOf(await embed());
  await postJson(service, "/embed-text", { text: ["a", "b", "c"] });
  const after = await scrape(service);
  const grown = (name: string, labels = {}) => after.sum(name, labels) - before.sum(name, labels);
  expect(grown("imagesvc_inputs_total", { kind: "memory" })).toBe(2);
  expect(grown("imagesvc_inputs_total", { kind: "text" })).toBe(3);
  expect(grown("imagesvc_image_bytes_total")).toBe(2 * image.byteLength);
  expect(grown("imagesvc_image_pixels_total")).toBe(2 * 40 * 30);
  expect(grown("imagesvc_cache_lookups_total", { result: "miss" })).toBe(1);
  expect(grown("imagesvc_cache_lookups_total", { result: "hit" })).toBe(1);
  expect(grown("imagesvc_batch_size_sum", { kind: "image" })).toBe(1);
  expect(grown("imagesvc_batch_size_sum", { kind: "text" })).toBe(3);
});

test("calls of NVIDIA are counted by outcome, retries too, and the breaker shows", async () => {
  const ask = async () =>
    await postFile(service, await makeJpeg({ width: 20 + nvidia.requests.length, height: 9 }));
  nvidia.next(() => new Response("{}", { status: 500 }));
  const before = await scrape(service);
  await answerOf(await ask());
  const between = await scrape(service);
  const calls = "imagesvc_nvidia_calls_total";
  for (const outcome of ["transient", "embedding"]) {
    expect(between.sum(calls, { outcome }) - before.sum(calls, { outcome })).toBe(1);
  }
  const waits = "imagesvc_nvidia_quota_wait_seconds_count";
  expect(between.sum(waits) - before.sum(waits)).toBe(2);
  expect(between.sum("imagesvc_nvidia_breaker_open")).toBe(0);
  nvidia.next(() => new Response("{}", { status: 401 }));
  await expectProblem(await ask(), "upstream-unauthorized");
  const after = await scrape(service);
  expect(after.sum("imagesvc_nvidia_breaker_open")).toBe(1);
  expect(after.sum("imagesvc_model_state", { model: "nv-dinov2", state: "unavailable" })).toBe(1);
  expect(after.sum("imagesvc_model_state", { model: "nv-dinov2", state: "ready" })).toBe(0);
});

test("what the service holds, and may hold, is shown", async () => {
  let whileFetching: Awaited<ReturnType<typeof scrape>> | undefined;
  const seen = Promise.withResolvers<void>();
  await using slow = await startOrigin({
    "/slow.jpg": (connection) => {
      void scrape(service)
        .then((scraped) => {
          whileFetching = scraped;
          respond({ body: jpeg })(connection);
        })
        .finally(seen.resolve);
    },
  });
  await postUrlencoded(service, "/upload", { imageUrl: slow.url("/slow.jpg") });
  await seen.promise;
  expect(whileFetching?.sum("imagesvc_requests_inside")).toBe(1);
  const after = await scrape(service);
  expect(after.sum("imagesvc_requests_inside")).toBe(0);
  expect(after.sum("imagesvc_requests_inside_limit")).toBe(64);
  expect(after.sum("imagesvc_held_bytes")).toBe(0);
  expect(after.sum("imagesvc_workers")).toBe(1);
  expect(after.sum("imagesvc_workers_busy")).toBe(0);
  expect(after.sum("imagesvc_cache_bytes")).toBeGreaterThan(0);
  expect(after.sum("imagesvc_cache_limit_bytes")).toBe(100_000_000);
  expect(after.sum("imagesvc_ready")).toBe(1);
  expect(after.sum("imagesvc_disk_free_bytes", { folder: "downloads" })).toBeGreaterThan(0);
});

test("what is inside, and what the process takes, is told", async () => {
  const { samples, sum } = await scrape(service);
  const build = samples.find(({ name }) => name === "imagesvc_build_info");
  expect(build?.labels).toMatchObject({ version: expect.any(String), bun: Bun.version });
  expect(build?.labels["onnxruntime"]).toMatch(/^\d+\.\d+/);
  const cpu = process.cpuUsage();
  expect(sum("process_cpu_seconds_total")).toBeGreaterThan(0);
  expect(sum("process_cpu_seconds_total")).toBeLessThanOrEqual((cpu.user + cpu.system) / 1e6);
  expect(sum("process_resident_memory_bytes")).toBeGreaterThan(10e6);
  expect(sum("process_open_fds")).toBeGreaterThan(3);
  expect(sum("process_max_fds")).toBeGreaterThan(sum("process_open_fds"));
  expect(Math.abs(sum("process_start_time_seconds") - performance.timeOrigin / 1000)).toBeLessThan(
    1,
  );
});

test("a main thread that was busy shows as a late event loop", async () => {
  const late = async () => {
    const name = "imagesvc_event_loop_delay_seconds";
    const { sum } = await scrape(service);
    return sum(`${name}_count`) - sum(`${name}_bucket`, { le: "0.25" });
  };
  const before = await late();
  const until = performance.now() + 500;
  while (performance.now() < until);
  await Bun.sleep(150);
  expect((await late()) - before).toBeGreaterThanOrEqual(1);
});

describe("Prometheus reads it", () => {
  test("promtool finds nothing wrong with the text", async () => {
    const { text } = await scrape(service);
    const checked = await promtool(["check", "metrics"], {}, text);
    expect(checked ?? { code: 0, said: "" }).toEqual({ code: 0, said: "" });
  });

  test("promtool takes the OpenMetrics that Prometheus asks for, sample by sample", async () => {
    const accept = "application/openmetrics-text;version=1.0.0,text/plain;q=0.5";
    const response = await send(service, "/metrics", { headers: { accept } });
    expect(response.headers.get("content-type")).toBe(
      "application/openmetrics-text; version=1.0.0; charset=utf-8",
    );
    const text = await response.text();
    expect(text).toEndWith("# EOF\n");
    // It only takes what has a time.
    const timed = text.replaceAll(/^([^#\s].*)$/gm, "$1 1700000000");
    const args = ["tsdb", "create-blocks-from", "openmetrics", "metrics.txt", "."];
    const made = await promtool(args, { "metrics.txt": timed });
    expect(made?.code ?? 0).toBe(0);
  });

  test("without such a wish it is the text format 0.0.4", async () => {
    const response = await send(service, "/metrics");
    expect(response.headers.get("content-type")).toBe("text/plain; version=0.0.4; charset=utf-8");
  });

  test("scrapes in both formats at once do not get in each other's way", async () => {
    const asked = Array.from({ length: 8 }, (_, index) => index % 2 === 0);
    const texts = await Promise.all(
      asked.map(async (isOpen) => {
        const headers = isOpen ? { accept: "application/openmetrics-text" } : {};
        return await (await send(service, "/metrics", { headers })).text();
      }),
    );
    expect(texts.map((text) => text.endsWith("# EOF\n"))).toEqual(asked);
  });

  test("whoever asked before changes no name: counters end in _total in both formats", async () => {
    await send(service, "/livez");
    const expose = async (accept: string) =>
      await (await send(service, "/metrics", { headers: { accept } })).text();
    for (const accept of ["application/openmetrics-text", "text/plain", "*/*"]) {
      const text = await expose(accept);
      expect(text).toMatch(/^imagesvc_http_requests_total\{/m);
      expect(text).toMatch(/^process_cpu_seconds_total \d/m);
      expect(text).not.toContain("_total_total");
    }
    const names = (text: string) => new Set(text.match(/^[a-z_]+(?=[{ ])/gm));
    const [plain, open] = [
      await expose("text/plain"),
      await expose("application/openmetrics-text"),
    ];
    expect(names(open)).toEqual(names(plain));
  });
});

describe("who may read it", () => {
  test("where API keys are configured, whoever has one", async () => {
    await using folder = await temporaryFolder();
    const path = join(folder.path, "api-keys");
    const { key, entry } = createApiKey("prometheus", new Date());
    await Bun.write(path, withApiKey("", entry));
    await using guarded = await startService({ API_KEYS_FILE: path });
    await expectProblem(await send(guarded, "/metrics"), "unauthorized");
    await scrape(guarded, { Authorization: `Bearer ${key}` });
  });

  test("METRICS_LISTEN serves it without a key, there alone and nothing else there", async () => {
    await using folder = await temporaryFolder();
    const path = join(folder.path, "api-keys");
    const { key, entry } = createApiKey("prometheus", new Date());
    await Bun.write(path, withApiKey("", entry));
    const port = freePort();
    const settings = { API_KEYS_FILE: path, METRICS_LISTEN: `127.0.0.1:${port}` };
    const watched = await startService(settings);
    const there = { url: new URL(`http://127.0.0.1:${port}`) };
    expect((await scrape(there)).sum("imagesvc_ready")).toBe(1);
    expect((await send(there, "/livez")).status).toBe(404);
    expect((await send(there, "/metrics", { method: "POST" })).status).toBe(405);
    expect((await send(there, "/metrics", { method: "HEAD" })).status).toBe(200);
    const headers = { Authorization: `Bearer ${key}` };
    await expectProblem(await send(watched, "/metrics", { headers }), "not-found");
    await watched.stop();
    await expect(send(there, "/metrics")).rejects.toThrow();
  });

  test("an address of METRICS_LISTEN that is taken stops the start with one sentence", async () => {
    using taken = Bun.serve({ hostname: "127.0.0.1", port: 0, fetch: () => new Response() });
    const METRICS_LISTEN = `127.0.0.1:${taken.port}`;
    await expect(startService({ METRICS_LISTEN })).rejects.toThrow(
      `METRICS_LISTEN (${METRICS_LISTEN}) is taken: choose another port, or stop the other program`,
    );
  });
});

/** A port of loopback that nobody has. */
function freePort(): number {
  using server = Bun.serve({ hostname: "127.0.0.1", port: 0, fetch: () => new Response() });
  return server.port ?? 0;
}
