/** Puts together what operators watch: metrics, traces and the log of requests, all made of what the parts tell. */
import type { ImageBackend } from "./backends/backend.ts";
import type { Batcher } from "./backends/batcher.ts";
import type { Surroundings } from "./compose-core.ts";
import type { Config } from "./config.ts";
import type { Admission } from "./core/admission.ts";
import { createAccessLog } from "./http/access-log.ts";
import type { OnServed } from "./http/call.ts";
import type { Lifecycle } from "./http/lifecycle.ts";
import { createMetricsListener } from "./http/metrics-listener.ts";
import { limits } from "./limits.ts";
import type { Log } from "./log.ts";
import { createMetrics, type Metrics } from "./monitoring/metrics.ts";
import { freeBytesAt, sizeOf } from "./monitoring/process-figures.ts";
import type { Readings } from "./monitoring/read-series.ts";
import { openTracing, type Tracing } from "./monitoring/tracing.ts";
import type { Observer } from "./observer.ts";
import { ownFacts } from "./release/own-facts.ts";
import { embeddingDatabasePath } from "./store/embedding-database.ts";

/** The parts that are asked for figures; they are made after whom they tell. */
interface WatchedParts {
  readonly lifecycle: () => Lifecycle;
  readonly backends: () => readonly Pick<ImageBackend, "exactId" | "state">[];
  readonly admission: () => Pick<Admission, "load">;
  readonly batcher: () => Pick<Batcher, "waiting" | "workers">;
}

/** What the HTTP server tells. */
interface Told {
  readonly onServed: OnServed;
  readonly tracing: Tracing | undefined;
}

interface Monitoring {
  /** Whom the core tells. */
  readonly observer: Observer;
  /** What `/metrics` at the service's own port answers; undefined where metrics have a listener of their own. */
  readonly metricsAtPort: Metrics | undefined;
  /** Begins to watch, before the service listens. */
  open(): Promise<Told>;
  /**
   * Serves the metrics at METRICS_LISTEN, where that is set, once the service listens.
   *
   * @param takesOver whether another instance has the address, and lets it go later.
   * @throws Error with one sentence where it cannot be listened on.
   */
  listen(takesOver: boolean): void;
  /**
   * Lets another instance have the address of the metrics while the service hands over, and takes it back where it
   * goes on. The counters of the other begin at nothing, as after a restart.
   */
  handOver(handOver: () => Promise<boolean>): Promise<boolean>;
  /** Ends what was opened; spans that wait are sent, if a collector takes them. */
  close(): Promise<void>;
}

/** Makes the metrics and the log of requests; nothing is opened yet. */
export function composeMonitoring(
  config: Config,
  surroundings: Surroundings,
  parts: WatchedParts,
): Monitoring {
  const { log } = surroundings;
  const metrics = createMetrics(readingsOf(config, surroundings, parts));
  const { METRICS_LISTEN: address } = config;
  const listener = address && createMetricsListener({ address, metrics });
  const logServed = createAccessLog({ log, healthSample: config.LOG_HEALTH_SAMPLE });
  let tracing: Tracing | undefined;
  let stopWatching = () => {};
  return {
    observer: metrics.observer,
    metricsAtPort: listener === undefined ? metrics : undefined,
    open: async () => {
      stopWatching = metrics.watch();
      tracing = await composeTracing(config, log);
      return {
        tracing,
        onServed: (served, call, path) => {
          logServed(served, call, path);
          metrics.requestServed(served);
          call.trace?.end(served);
        },
      };
    },
    listen: (takesOver) => {
      if (takesOver) listener?.listenOnceFree();
      else listener?.listen();
    },
    handOver: async (handOver) => {
      listener?.stop();
      const isDone = await handOver();
      if (!isDone && !parts.lifecycle().isDraining) listener?.listenOnceFree();
      return isDone;
    },
    close: async () => {
      listener?.stop();
      stopWatching();
      await tracing?.stop();
    },
  };
}

function readingsOf(
  config: Config,
  { folders, droppedLogLines }: Surroundings,
  { lifecycle, backends, admission, batcher }: WatchedParts,
): Readings {
  const path = embeddingDatabasePath(folders.cache);
  const maxBytes = config.CACHE_MAX_BYTES;
  const models = () => backends().map(({ exactId: id, state }) => ({ id, state: state().kind }));
  return {
    build: ownFacts,
    isReady: () => !lifecycle().isDraining && models().some(({ state }) => state === "ready"),
    models,
    requests: () => admission().load(),
    limits: { inside: config.QUEUE_LIMIT, heldBytes: limits.maxHeldBytes },
    waiting: () => batcher().waiting(),
    workers: () => batcher().workers(),
    cache: maxBytes === 0 ? undefined : { maxBytes, bytes: () => sizeOf(path, `${path}-wal`) },
    freeBytes: () => ({
      models: freeBytesAt(folders.models),
      downloads: freeBytesAt(folders.downloads),
      cache: freeBytesAt(folders.cache),
    }),
    droppedLogLines,
  };
}

/** Traces requests, where the standard variables name a collector. */
async function composeTracing(config: Config, log: Log): Promise<Tracing | undefined> {
  const base = config.OTEL_EXPORTER_OTLP_ENDPOINT;
  const url =
    config.OTEL_EXPORTER_OTLP_TRACES_ENDPOINT || (base && `${base.replace(/\/$/, "")}/v1/traces`);
  if (url === "" || config.OTEL_SDK_DISABLED) return undefined;
  const { version } = await ownFacts();
  return await openTracing({
    url,
    headers: config.OTEL_EXPORTER_OTLP_HEADERS,
    resource: {
      "service.version": version,
      ...config.OTEL_RESOURCE_ATTRIBUTES,
      "service.name": config.OTEL_SERVICE_NAME,
    },
    sampler: { name: config.OTEL_TRACES_SAMPLER, ratio: config.OTEL_TRACES_SAMPLER_ARG },
    log,
  });
}
