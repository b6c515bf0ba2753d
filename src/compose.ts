/** Puts the service together: the one place that knows every part. */
import type { ImageBackend } from "./backends/backend.ts";
import type { Batcher } from "./backends/batcher.ts";
import { processClock } from "./backends/clock.ts";
import type { WorkerFiles } from "./backends/pool.ts";
import { composeCore, composeMemory, type Surroundings } from "./compose-core.ts";
import { composeMonitoring } from "./compose-monitoring.ts";
import type { Config } from "./config.ts";
import { createAdmission } from "./core/admission.ts";
import { createLookUp } from "./core/look-up.ts";
import { createRateLimiter } from "./core/rate-limit.ts";
import { createComparer } from "./core/similarity.ts";
import { createApp } from "./http/app.ts";
import type { Call } from "./http/call.ts";
import { createHostGuard } from "./http/host.ts";
import type { Lifecycle } from "./http/lifecycle.ts";
import { createRateGuard, type RateGuard } from "./http/rate-limit.ts";
import { createReaders } from "./http/readers.ts";
import { type HttpServer, startHttpServer } from "./http/server.ts";
import { limits } from "./limits.ts";
import type { Log } from "./log.ts";
import { parseTrustedProxies, type TrustedProxies } from "./net/client-address.ts";
import { isLoopbackHost } from "./net/loopback.ts";
import { createJsonParser, type JsonParser } from "./sources/json-parser.ts";
import { createClockWatch } from "./store/clock-watch.ts";
import type { Credentials } from "./store/credentials.ts";
import { type Downloads, downloadsFault } from "./store/downloads.ts";
import { type Retention, startRetention } from "./store/retention.ts";

/**
 * Makes every part of the service and its worker threads; nothing listens and nothing loads yet.
 *
 * @throws RangeError that names the faults of FETCH_ALLOW.
 */
export function composeService(config: Config, surroundings: Surroundings): Service {
  const { log } = surroundings;
  const memory = composeMemory(config, surroundings);
  const monitoring = composeMonitoring(config, surroundings, {
    lifecycle: () => lifecycle,
    backends: () => embedder.backends,
    admission: () => admission,
    batcher: () => batcher,
  });
  const core = composeCore(config, surroundings, {
    sharePlaces: shareOf(config.QUEUE_LIMIT),
    ...{ recall: memory?.recall, observer: monitoring.observer },
    isReadyWithFirst: true,
  });
  const { embedder, textEmbedder, batcher, clip, downloads } = core;
  const admission = composeAdmission(config, batcher);
  const calls = new WeakMap<Request, Call>();
  const lifecycle: Lifecycle = { isDraining: false, isHandingOver: false };
  const jsonParser = composeJsonParser(surroundings.workerFiles);
  const trustedProxies = parseTrustedProxies(config.TRUSTED_PROXIES);
  const readers = createReaders({
    ...{ calls, admission, trustedProxies, downloads, jsonParser },
    ...{ maxBodyBytes: config.MAX_BODY_BYTES, maxImageBytes: config.MAX_IMAGE_BYTES },
  });
  const app = createApp({
    ...{ embedder, textEmbedder, calls, readers, lifecycle },
    comparer: createComparer({ embedder, textEmbedder }),
    manyEmbedder: core.manyEmbedder,
    eachEmbedder: core.eachEmbedder,
    lookUp: createLookUp({ backends: embedder.backends, recall: memory?.recall }),
    corsOrigins: config.CORS_ORIGINS,
    apiKeys: surroundings.secrets.apiKeys,
    hostGuard: createHostGuard(config.HOST, trustedProxies),
    rateGuard: composeRateGuard(config, trustedProxies),
    localModel: clip.id,
    metrics: monitoring.metricsAtPort,
  });
  const stopping = new AbortController();
  let areThreadsPrepared = false;
  let server: HttpServer | undefined;
  let retention: Retention | undefined;
  return {
    openApi: app.openApi,
    listen: async ({ takesOver, signal } = { takesOver: false, signal: stopping.signal }) => {
      await prepareToListen(config.HOST, downloads, surroundings);
      const told = await monitoring.open();
      signal.throwIfAborted();
      const address = { hostname: config.HOST, port: config.PORT, takesOver };
      server = startHttpServer({ app, calls, lifecycle, log, ...told, ...address });
      monitoring.listen(takesOver);
      retention = composeRetention(config, surroundings);
      return server.url;
    },
    handOver: () => monitoring.handOver(async () => (await server?.handOver()) ?? false),
    load: async (keepsTrying = true) => {
      if (!areThreadsPrepared) surroundings.prepareThreads();
      areThreadsPrepared = true;
      const opening = memory?.open();
      await clip.load({ keepsTrying, signal: stopping.signal });
      await opening;
    },
    backends: embedder.backends,
    check: () => {
      batcher.checkWorkers();
      server?.checkDescriptors();
    },
    reload: async () => reloadSecrets(config.HOST, surroundings.secrets, log),
    stop: async () => {
      lifecycle.isDraining = true;
      stopping.abort();
      await retention?.stop();
      const isDone = (await server?.stop(limits.drainTimeoutMs)) ?? true;
      if (!isDone) log.warn("requests were still under way at the deadline, and are cut");
      await server?.close();
      await monitoring.close();
      await jsonParser.close();
      await batcher.close();
      await memory?.close();
    },
  };
}

/** @throws Error with one sentence where images cannot be kept. */
async function prepareToListen(host: string, downloads: Downloads, surroundings: Surroundings) {
  const { folders, secrets, log } = surroundings;
  warnOfAccess(host, secrets, log);
  try {
    await downloads.prepare();
    if (await downloads.hasRoom()) return;
  } catch (cause) {
    throw new Error(downloadsFault(cause, folders.downloads), { cause });
  }
  log.warn(
    "less than DOWNLOADS_MIN_FREE_BYTES is free on the disk of DOWNLOADS_DIR: images that would be kept are refused until there is more",
  );
}

/** A third for those who wait for image hosts and one for those who wait for NVIDIA: neither fills the house. */
function shareOf(queueLimit: number): number {
  return Math.max(1, Math.floor(queueLimit / 3));
}

/** The gate in front of the queue. */
function composeAdmission(config: Config, { expectedWaitMs }: Pick<Batcher, "expectedWaitMs">) {
  return createAdmission({
    maxArriving: limits.maxArriving,
    maxHeldBytes: limits.maxHeldBytes,
    limit: config.QUEUE_LIMIT,
    expectedWaitMs,
    maxWaitMs: config.REQUEST_TIMEOUT_MS,
    now: processClock.now,
  });
}

/** Parses the bodies that would keep the main thread busy elsewhere. */
function composeJsonParser({ json: filename }: Pick<WorkerFiles, "json">): JsonParser {
  return createJsonParser({
    filename,
    maxInlineBytes: limits.maxJsonOnMainThreadBytes,
    parseTimeoutMs: limits.jsonParseTimeoutMs,
    timeoutMs: limits.jsonTimeoutMs,
    idleMs: limits.jsonThreadIdleMs,
  });
}

/** Counts each client's requests, where RATE_LIMIT sets a limit. */
function composeRateGuard(
  { RATE_LIMIT: limit }: Config,
  trusted: TrustedProxies,
): RateGuard | undefined {
  if (limit === undefined) return undefined;
  const maxClients = limits.maxCountedClients;
  return createRateGuard(createRateLimiter({ limit, maxClients, now: processClock.now }), trusted);
}

/** Deletes kept images as the settings want it, from now on. */
function composeRetention(config: Config, { folders, log }: Surroundings): Retention {
  return startRetention({
    directory: folders.downloads,
    rule: { maxAgeMs: config.DOWNLOADS_MAX_AGE, maxBytes: config.DOWNLOADS_MAX_BYTES },
    maxHeld: limits.maxPruned,
    intervalMs: limits.retentionIntervalMs,
    clockWatch: createClockWatch({
      wallClock: Date.now,
      now: processClock.now,
      toleranceMs: limits.clockToleranceMs,
      doubtMs: limits.clockDoubtMs,
    }),
    log,
  });
}

/** Says who may call, where that may not be what the operator had in mind. */
function warnOfAccess(host: string, { apiKeys }: Credentials, log: Log): void {
  const keys = apiKeys();
  if (keys === undefined && !isLoopbackHost(host)) {
    log.warn("everyone who reaches this address may use the service", { host });
  }
  if (keys?.size === 0) {
    log.warn("nobody may use the service: there is no key in the file of API keys", { host });
  }
}

/** What is known of a secret goes into the log, the secret itself never. */
function reloadSecrets(host: string, secrets: Credentials, log: Log): void {
  tellReloaded(secrets, log);
  warnOfAccess(host, secrets, log);
}

function tellReloaded(secrets: Credentials, log: Log): void {
  const { reread, faults } = secrets.reload();
  for (const fault of faults) log.error(fault);
  if (reread.length + faults.length === 0) {
    log.info("nothing to read again: no file of secrets is configured");
  }
  if (reread.length === 0) return;
  log.info("files of secrets were read again", {
    files: reread.join(", "),
    nvidia_api_key: secrets.nvidiaApiKey() !== undefined,
    api_keys: secrets.apiKeys()?.size,
  });
}

/** The service as its owner sees it: a command, or a test. */
export interface Service {
  /** The OpenAPI document, as text. */
  readonly openApi: () => Promise<string>;
  /**
   * Prepares the downloads folder and listens. Requests for models that are not loaded are refused.
   *
   * @param options.takesOver whether another instance listens there: new connections are drawn from it.
   * @throws Error of the file system or of the socket, with its `code`.
   */
  listen(options?: { readonly takesOver: boolean; readonly signal: AbortSignal }): Promise<URL>;
  /** See `HttpServer`: resolves with false, and goes on, if no other instance has taken the port over. */
  handOver(): Promise<boolean>;
  /**
   * Loads the native libraries, and the local model, until the first worker has it: `/readyz` says how that went, and
   * the others load it then. To be called in the same turn of the event loop in which `listen` resolved: no request may
   * be there before.
   *
   * @throws Error with one sentence, if the native libraries cannot be loaded here.
   * @param keepsTrying whether weights that cannot be downloaded now are tried for until the service stops.
   */
  load(keepsTrying?: boolean): Promise<void>;
  /** The models, and how each is. */
  readonly backends: readonly Pick<ImageBackend, "exactId" | "state">[];
  /**
   * To be called now and then: asks every idle worker for a sign of life (`onWorkerLost` tells of one that gives
   * none), and makes room for connections where no file descriptor is left.
   */
  check(): void;
  /** Reads the files of secrets again; nothing under way is touched. Never throws: the log says how it went. */
  reload(): Promise<void>;
  /** Takes no more work, finishes what is under way, and ends the workers. */
  stop(): Promise<void>;
}
