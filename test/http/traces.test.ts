/** Traces for an OpenTelemetry collector: off by default, on by the standard variables, and never in a request's way. */
import { afterAll, beforeAll, expect, test } from "bun:test";
import { answerOf, postFile, postJson, send, until } from "../support/client.ts";
import { type NvidiaFake, startNvidiaFake } from "../support/nvidia-fake.ts";
import { type Origin, respond, startOrigin } from "../support/origin.ts";
import { type Collector, startCollector } from "../support/otlp-collector.ts";
import { type Bytes, makeJpeg } from "../support/pictures.ts";
import { reachingFakes, startService, type TestSettings } from "../support/service.ts";

let nvidia: NvidiaFake;
let origin: Origin;
let jpeg: Bytes;

beforeAll(async () => {
  jpeg = await makeJpeg();
  nvidia = startNvidiaFake();
  origin = await startOrigin({ "/image.jpg": respond({ body: jpeg }) });
});

afterAll(async () => {
  await origin[Symbol.asyncDispose]();
  await nvidia.stop();
});

/** A service whose collector is there. */
async function startTraced(collector: Collector, settings: TestSettings = {}) {
  return await startService({
    ...reachingFakes(nvidia),
    OTEL_EXPORTER_OTLP_ENDPOINT: collector.url,
    ...settings,
  });
}

const client = { traceId: "0af7651916cd43dd8448eb211c80319c", spanId: "b7ad6b7169203331" };
const traceparent = `00-${client.traceId}-${client.spanId}-01`;

test("a request is a span with its stages below it, in the trace that the client began", async () => {
  await using collector = startCollector();
  const service = await startTraced(collector, {
    OTEL_SERVICE_NAME: "photos",
    OTEL_RESOURCE_ATTRIBUTES: "deployment.environment.name=a%20test",
    OTEL_EXPORTER_OTLP_HEADERS: "x-scope=tenant%201",
  });
  const image_url = origin.url("/image.jpg");
  const headers = { traceparent, "X-Request-Id": "traced" };
  await answerOf(await postJson(service, "/vectorize-image", { image_url }, headers));
  // What is left is sent before the end.
  await service.stop();

  const root = collector.spans.find(({ kind }) => kind === 2);
  expect(root).toMatchObject({
    name: "POST /vectorize-image",
    traceId: client.traceId,
    parentSpanId: client.spanId,
    status: 0,
    attributes: {
      "http.request.method": "POST",
      "http.route": "/vectorize-image",
      "http.response.status_code": 200,
      "imagesvc.request_id": "traced",
      "imagesvc.model": "nv-dinov2@fake",
      "imagesvc.image.bytes": jpeg.byteLength,
    },
    resource: {
      "service.name": "photos",
      "service.version": expect.any(String),
      "deployment.environment.name": "a test",
    },
  });
  const stages = collector.spans.filter((span) => span !== root);
  expect(stages.map(({ name }) => name).sort()).toEqual(["decode", "fetch", "queue", "upstream"]);
  for (const stage of stages) {
    expect(stage).toMatchObject({ traceId: client.traceId, parentSpanId: root?.spanId ?? "" });
    expect(stage.startNs).toBeGreaterThanOrEqual(root?.startNs ?? 0n);
    expect(stage.endNs).toBeGreaterThanOrEqual(stage.startNs);
    expect(stage.endNs).toBeLessThanOrEqual(root?.endNs ?? 0n);
  }
  expect(collector.exports[0]?.path).toBe("/v1/traces");
  expect(collector.exports[0]?.headers.get("x-scope")).toBe("tenant 1");

  const handedOn = nvidia.requests.at(-1)?.headers.get("traceparent");
  expect(handedOn).toBe(`00-${client.traceId}-${root?.spanId}-01`);
});

test("an image's host gets no trace context: it is a stranger", async () => {
  await using collector = startCollector();
  await using service = await startTraced(collector);
  const image_url = origin.url("/image.jpg");
  await answerOf(await postJson(service, "/vectorize-image", { image_url }, { traceparent }));
  expect(origin.requests.length).toBeGreaterThan(0);
  for (const { headers } of origin.requests) {
    expect([...headers.keys()].filter((name) => /^(trace|baggage)/.test(name))).toEqual([]);
  }
});

test("texts have spans of their stages too; a request without a trace begins one", async () => {
  await using collector = startCollector();
  const service = await startTraced(collector);
  await postJson(service, "/embed-text", { text: ["a", "b"] });
  await service.stop();
  const root = collector.spans.find(({ kind }) => kind === 2);
  expect(root).toMatchObject({ name: "POST /embed-text", parentSpanId: "" });
  expect(root?.traceId).toMatch(/^(?!0+$)[0-9a-f]{32}$/);
  const stages = collector.spans.filter(({ kind }) => kind !== 2);
  expect(stages.map(({ name }) => name).sort()).toEqual(["infer", "infer", "queue", "queue"]);
});

test("a service's own fault is an error of its span, a client's mistake is none", async () => {
  await using collector = startCollector();
  const service = await startTraced(collector, { NVIDIA_BASE_URL: "http://127.0.0.1:1" });
  await postJson(service, "/vectorize-image", "{");
  await postFile(service, jpeg, { query: "?model=nv-dinov2" });
  await send(service, "/nothing/at/all");
  await service.stop();
  const byStatus = new Map(
    collector.spans
      .filter(({ kind }) => kind === 2)
      .map((span) => [span.attributes["http.response.status_code"], span] as const),
  );
  expect(byStatus.get(400)).toMatchObject({
    status: 0,
    attributes: { "imagesvc.problem": "malformed-body" },
  });
  expect(byStatus.get(502)).toMatchObject({
    status: 2,
    attributes: { "error.type": "upstream-error" },
  });
  expect(byStatus.get(404)).toMatchObject({ name: "GET", status: 0 });
});

test("probes are not traced", async () => {
  await using collector = startCollector();
  const service = await startTraced(collector);
  for (const path of ["/livez", "/readyz", "/metrics"]) await send(service, path);
  await service.stop();
  expect(collector.exports).toHaveLength(0);
});

for (const [what, settings, headers] of [
  ["OTEL_SDK_DISABLED", { OTEL_SDK_DISABLED: "true" }, { traceparent }],
  ["always_off", { OTEL_TRACES_SAMPLER: "always_off" }, { traceparent }],
  ["a share of 0", { OTEL_TRACES_SAMPLER: "traceidratio", OTEL_TRACES_SAMPLER_ARG: "0" }, {}],
  ["a client that does not sample", {}, { traceparent: traceparent.replace(/1$/, "0") }],
] as const) {
  test(`with ${what} nothing is sent`, async () => {
    await using collector = startCollector();
    const service = await startTraced(collector, settings);
    await answerOf(await postFile(service, jpeg, { init: { headers } }));
    await service.stop();
    expect(collector.exports).toHaveLength(0);
  });
}

test("the endpoint of traces goes before the general one, and is taken as it stands", async () => {
  await using collector = startCollector();
  const endpoint = `${collector.url}/otel/spans`;
  const service = await startTraced(collector, { OTEL_EXPORTER_OTLP_TRACES_ENDPOINT: endpoint });
  await answerOf(await postFile(service, jpeg));
  await service.stop();
  expect(collector.exports.map(({ path }) => path)).toEqual(["/otel/spans"]);
});

test("a collector that hangs keeps no request waiting, and the end not for long", async () => {
  await using collector = startCollector();
  collector.answer(() => new Promise(() => {}));
  const service = await startTraced(collector);
  for (let sent = 0; sent < 3; sent++) await answerOf(await postFile(service, jpeg));
  // It waits for nobody but until its own deadline.
  await service.stop();
  expect(collector.exports.length).toBeGreaterThan(0);
  expect(collector.spans).toHaveLength(0);
});

test("a collector that fails is told of once, and so is its return", async () => {
  await using collector = startCollector();
  collector.answer(() => new Response("very-private words", { status: 500 }));
  await using service = await startTraced(collector);
  const said = () => service.log.filter((line) => line.includes('"message":"traces are'));
  await answerOf(await postFile(service, jpeg));
  await until(() => said().length === 1);
  expect(said()[0]).toContain("traces are lost: the collector does not take them");
  collector.answer(() => new Response(null));
  await answerOf(await postFile(service, jpeg));
  await until(() => said().length === 2);
  expect(said()[1]).toContain("traces are taken again");
  expect(service.log.join("")).not.toContain("very-private");
});

test("nobody there to collect fails no request", async () => {
  await using service = await startService({
    ...reachingFakes(nvidia),
    OTEL_EXPORTER_OTLP_ENDPOINT: "http://127.0.0.1:1",
  });
  await answerOf(await postFile(service, jpeg));
});
