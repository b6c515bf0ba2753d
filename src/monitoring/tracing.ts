/**
 * Traces for OpenTelemetry: one span a request and one for each of its stages, sent to a collector over OTLP. Its
 * packages are loaded where somebody collects, and not otherwise.
 */
import type { Context, Span, Tracer } from "@opentelemetry/api";
import type { Sampler, SpanExporter } from "@opentelemetry/sdk-trace";
import { limits } from "../limits.ts";
import type { Log } from "../log.ts";
import type { EndedStage, ServedRequest } from "../observer.ts";

/** Which requests are traced, as https://opentelemetry.io/docs/specs/otel/configuration/sdk-environment-variables/ has it. */
export interface SamplerChoice {
  readonly name:
    | "always_on"
    | "always_off"
    | "traceidratio"
    | "parentbased_always_on"
    | "parentbased_always_off"
    | "parentbased_traceidratio";
  /** Share of the traces, from 0 to 1. */
  readonly ratio: number;
}

export interface TracingOptions {
  /** Where spans are posted to. */
  readonly url: string;
  readonly headers: Readonly<Record<string, string>>;
  /** Attributes of the service, its name among them. */
  readonly resource: Readonly<Record<string, string>>;
  readonly sampler: SamplerChoice;
  readonly log: Pick<Log, "info" | "warn">;
}

/** The trace of one request. */
export interface RequestTrace {
  /** W3C trace context for calls that are made on its behalf. */
  readonly traceparent: string;
  /** Makes the spans; to be called once. */
  end(served: ServedRequest): void;
}

export interface Tracing {
  /** Begins the trace of a request, as part of the one that its headers name. */
  begin(headers: Headers): RequestTrace;
  /** Sends what was not sent yet, but not for longer than `limits.traceFlushTimeoutMs`. */
  stop(): Promise<void>;
}

/** Loads the packages and makes the tracer. What the collector does, or does not, fails no request. */
export async function openTracing(options: TracingOptions): Promise<Tracing> {
  const [
    api,
    { W3CTraceContextPropagator },
    sdk,
    { resourceFromAttributes },
    { OTLPTraceExporter },
  ] = await Promise.all([
    import("@opentelemetry/api"),
    import("@opentelemetry/core"),
    import("@opentelemetry/sdk-trace"),
    import("@opentelemetry/resources"),
    import("@opentelemetry/exporter-trace-otlp-proto"),
  ]);
  const { url, headers, sampler, resource, log } = options;
  const exporter = new OTLPTraceExporter({
    url,
    headers: { ...headers },
    timeoutMillis: limits.traceExportTimeoutMs,
    concurrencyLimit: 1,
  });
  const provider = new sdk.TracerProvider({
    resource: resourceFromAttributes({ ...resource }),
    sampler: samplerOf(sdk, sampler),
    spanProcessors: [
      new sdk.BatchSpanProcessor({
        exporter: telling(exporter, log),
        maxQueueSize: limits.maxQueuedSpans,
      }),
    ],
  });
  const tracer = provider.getTracer("imagesvc");
  const propagator = new W3CTraceContextPropagator();
  const toContext = (span: Span) => api.trace.setSpan(api.ROOT_CONTEXT, span);
  const names = {
    get: (carrier: Headers, name: string) => carrier.get(name) ?? undefined,
    keys: (carrier: Headers) => [...carrier.keys()],
  };
  return {
    begin: (received) => {
      const parent = propagator.extract(api.ROOT_CONTEXT, received, names);
      // One scale for all spans of a request, whoever sets the clock meanwhile; OpenTelemetry takes ms since 1970.
      const originMs = Date.now() - performance.now();
      const startTime = originMs + performance.now();
      // A request's name is its route, which is known once it is served.
      const span = tracer.startSpan("request", { kind: api.SpanKind.SERVER, startTime }, parent);
      const { traceId, spanId, traceFlags } = span.spanContext();
      return {
        traceparent: `00-${traceId}-${spanId}-${traceFlags.toString(16).padStart(2, "0")}`,
        end: (served) => {
          if (!span.isRecording()) return;
          describe(span, served);
          if (isFault(served)) span.setStatus({ code: api.SpanStatusCode.ERROR });
          addStages({ tracer, parent: toContext(span), originMs }, served.trail.stages);
          span.end(originMs + served.endedAt);
        },
      };
    },
    stop: async () => {
      const flushed = provider.shutdown().catch(() => {});
      await Promise.race([flushed, Bun.sleep(limits.traceFlushTimeoutMs)]);
    },
  };
}

/** Of the many stages of a large request the first ones stand for all: a queue full of them would lose others. */
function addStages(
  { tracer, parent, originMs }: { tracer: Tracer; parent: Context; originMs: number },
  stages: readonly EndedStage[],
): void {
  for (const { stage, startedAt, endedAt } of stages.slice(0, limits.maxStageSpans)) {
    const span = tracer.startSpan(stage, { startTime: originMs + startedAt }, parent);
    span.end(originMs + endedAt);
  }
}

/** Names of attributes: https://opentelemetry.io/docs/specs/semconv/http/http-spans/ */
function describe(span: Span, served: ServedRequest): void {
  const { method, route, status, code, trail } = served;
  span.updateName(route === undefined ? method : `${method} ${route}`);
  span.setAttributes({
    "http.request.method": method,
    ...(route !== undefined && { "http.route": route }),
    ...(typeof status === "number" && { "http.response.status_code": status }),
    ...(isFault(served) && { "error.type": code ?? String(status) }),
    ...(code !== undefined && { "imagesvc.problem": code }),
    ...(served.model !== undefined && { "imagesvc.model": served.model }),
    "imagesvc.request_id": served.requestId,
    "imagesvc.cache.hits": trail.cache.hit,
    "imagesvc.cache.misses": trail.cache.miss,
    "imagesvc.image.bytes": trail.bytes,
    "imagesvc.image.pixels": trail.pixels,
    "imagesvc.stages": trail.stages.length,
  });
}

/** A client's mistake is none of the service's (semantic conventions for server spans). */
function isFault({ status }: ServedRequest): boolean {
  return status === "cut" || (typeof status === "number" && status >= 500);
}

function samplerOf(
  sdk: typeof import("@opentelemetry/sdk-trace"),
  { name, ratio }: SamplerChoice,
): Sampler {
  const roots = {
    always_on: () => new sdk.AlwaysOnSampler(),
    always_off: () => new sdk.AlwaysOffSampler(),
    traceidratio: () => new sdk.TraceIdRatioBasedSampler(ratio),
  };
  switch (name) {
    case "parentbased_always_on":
      return new sdk.ParentBasedSampler({ root: roots.always_on() });
    case "parentbased_always_off":
      return new sdk.ParentBasedSampler({ root: roots.always_off() });
    case "parentbased_traceidratio":
      return new sdk.ParentBasedSampler({ root: roots.traceidratio() });
    default:
      return roots[name]();
  }
}

/** The exporter, which says in the log when spans begin to be lost, and when they no longer are. */
function telling(exporter: SpanExporter, log: TracingOptions["log"]): SpanExporter {
  let isLosing = false;
  return {
    export: (spans, done) =>
      exporter.export(spans, (result) => {
        const isLost = result.code !== 0;
        // The library's words may quote what the collector answered.
        if (isLost && !isLosing) log.warn("traces are lost: the collector does not take them");
        if (!isLost && isLosing) log.info("traces are taken again");
        isLosing = isLost;
        done(result);
      }),
    shutdown: () => exporter.shutdown(),
    forceFlush: async () => await exporter.forceFlush?.(),
  };
}
