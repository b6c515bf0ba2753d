/** Puts the service together: the one place that knows every part. */
import type { ImageBackend } from "./backends/backend.ts";
import { type Batcher, createBatcher } from "./backends/batcher.ts";
import { createClip } from "./backends/clip.ts";
import { processClock } from "./backends/clock.ts";
import { createNvDinov2 } from "./backends/nv-dinov2.ts";
import { createWorker, type WorkerFiles } from "./backends/pool.ts";
import type { Config } from "./config.ts";
import { createAdmission } from "./core/admission.ts";
import { createEmbedder } from "./core/embed.ts";
import { createTextEmbedder } from "./core/embed-text.ts";
import { createRateLimiter } from "./core/rate-limit.ts";
import { createShare, sharedBackend } from "./core/share.ts";
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
import { catalog } from "./models/catalog.ts";
import { createHub } from "./models/hub.ts";
import type { HubCacheVariables } from "./models/hub-cache.ts";
import { installedModel } from "./models/installed-model.ts";
import { createSyntheticSupply, createWeightsSupply } from "./models/weights-supply.ts";
import { parseTrustedProxies } from "./net/client-address.ts";
import { parseFetchAllow } from "./net/fetch-allow.ts";
import { isLoopbackHost } from "./net/loopback.ts";
import { createJsonParser, type JsonParser } from "./sources/json-parser.ts";
import { createAcquire } from "./sources/source.ts";
import { createUrlSource } from "./sources/url.ts";
import { createClockWatch } from "./store/clock-watch.ts";
import type { Credentials } from "./store/credentials.ts";
import { createDownloads, downloadsFault } from "./store/downloads.ts";
import type { Folders } from "./store/folders.ts";
import { type Retention, startRetention } from "./store/retention.ts";

/** What the process gives beside the settings. */
export interface Surroundings {
  /** Cores that this process may use. */
  readonly cores: number;
  readonly folders: Pick<Folders, "models" | "downloads">;
  /** The variables that say where the user's Hugging Face cache is. */
  readonly hubCaches: HubCacheVariables;
  readonly secrets: Credentials;
  readonly workerFiles: WorkerFiles;
  /**
   * Makes the native libraries ready; to be called once, before the first worker has something to do.
   *
   * @throws Error with one sentence, if this host does not let them load.
   */
  readonly prepareThreads: () => void;
  readonly log: Log;
  /** Called when a worker is lost for good: the process must drain and restart. */
  readonly onWorkerLost: (cause: Error) => void;
}

/**
 * Makes every part of the service and its worker threads; nothing listens and nothing loads yet.
 *
 * @throws RangeError that names the faults of FETCH_ALLOW.
 */
export function composeService(config: Config, surroundings: Surroundings): Service {
  const { log } = surroundings;
  const { embedder, textEmbedder, batcher, clip, downloads } = composeEmbedder(
    config,
    surroundings,
    shareOf(config.QUEUE_LIMIT),
  );
  const admission = createAdmission({
    maxArriving: limits.maxArriving,
    maxHeldBytes: limits.maxHeldBytes,
    limit: config.QUEUE_LIMIT,
    expectedWaitMs: batcher.expectedWaitMs,
    maxWaitMs: config.REQUEST_TIMEOUT_MS,
  });
  const calls = new WeakMap<Request, Call>();
  const lifecycle: Lifecycle = { isDraining: false, isHandingOver: false };
  const sizes = { maxBodyBytes: config.MAX_BODY_BYTES, maxImageBytes: config.MAX_IMAGE_BYTES };
  const jsonParser = composeJsonParser(surroundings.workerFiles);
  const readers = createReaders({ calls, admission, downloads, jsonParser, ...sizes });
  const corsOrigins = config.CORS_ORIGINS;
  const { apiKeys } = surroundings.secrets;
  const app = createApp({
    embedder,
    textEmbedder,
    comparer: createComparer({ embedder, textEmbedder }),
    calls,
    readers,
    lifecycle,
    corsOrigins,
    apiKeys,
    hostGuard: createHostGuard(config.HOST, parseTrustedProxies(config.TRUSTED_PROXIES)),
    rateGuard: composeRateGuard(config),
    localModel: clip.id,
  });
  const stopping = new AbortController();
  let areThreadsPrepared = false;
  let server: HttpServer | undefined;
  let retention: Retention | undefined;
  return {
    openApi: app.openApi,
    listen: async ({ takesOver, signal } = { takesOver: false, signal: stopping.signal }) => {
      warnOfAccess(config.HOST, surroundings.secrets, log);
      await downloads.prepare().catch((cause: unknown) => {
        throw new Error(downloadsFault(cause, surroundings.folders.downloads), { cause });
      });
      signal.throwIfAborted();
      const address = { hostname: config.HOST, port: config.PORT, takesOver };
      server = startHttpServer({ app, calls, lifecycle, log, ...address });
      retention = composeRetention(config, surroundings);
      return server.url;
    },
    handOver: async () => (await server?.handOver()) ?? false,
    load: async (keepsTrying = true) => {
      if (!areThreadsPrepared) surroundings.prepareThreads();
      areThreadsPrepared = true;
      await clip.load({ keepsTrying, signal: stopping.signal });
    },
    backends: embedder.backends,
    check: () => {
      batcher.checkWorkers();
      server?.checkDescriptors();
    },
    reload: async () => {
      reloadSecrets(surroundings.secrets, log);
      warnOfAccess(config.HOST, surroundings.secrets, log);
    },
    stop: async () => {
      lifecycle.isDraining = true;
      stopping.abort();
      await retention?.stop();
      const isDone = (await server?.stop(limits.drainTimeoutMs)) ?? true;
      if (!isDone) log.warn("requests were still under way at the deadline, and are cut");
      await server?.close();
      await jsonParser.close();
      await batcher.close();
    },
  };
}

/** A third for those who wait for image hosts and one for those who wait for NVIDIA: neither fills the house. */
function shareOf(queueLimit: number): number {
  return Math.max(1, Math.floor(queueLimit / 3));
}

/**
 * Makes the core and what it needs, without HTTP: every model and the workers behind them.
 *
 * @param sharePlaces requests that may wait for image hosts at once, and as many for NVIDIA.
 * @throws RangeError that names the faults of FETCH_ALLOW.
 */
export function composeEmbedder(
  config: Config,
  surroundings: Surroundings,
  sharePlaces = Number.POSITIVE_INFINITY,
) {
  const { MAX_IMAGE_BYTES: maxImageBytes, FETCH_TIMEOUT_MS: fetchTimeoutMs } = config;
  const allow = parseFetchAllow(config.FETCH_ALLOW);
  const urlSource = createUrlSource({ fetchTimeoutMs, maxImageBytes, allow });
  const { now } = processClock;
  const fetching = createShare({ places: sharePlaces, whom: "image hosts", now });
  const downloads = createDownloads({
    directory: surroundings.folders.downloads,
    minFreeBytes: config.DOWNLOADS_MIN_FREE_BYTES,
  });
  const { batcher, clip, workerCount } = composeLocalModel(config, surroundings);
  const hosted = composeHostedModel(config, surroundings, batcher);
  const asking = createShare({ places: sharePlaces, whom: "NVIDIA", now });
  const backends = [clip, sharedBackend(hosted, asking)];
  const requestTimeoutMs = config.REQUEST_TIMEOUT_MS;
  const embedder = createEmbedder({
    backends,
    acquire: createAcquire(
      { open: (url, signal) => fetching.run(() => urlSource.open(url, signal)) },
      maxImageBytes,
    ),
    downloads,
    keepDownloads: config.DOWNLOADS_KEEP,
    requestTimeoutMs,
  });
  const textEmbedder = createTextEmbedder({
    backends: [clip],
    imageBackends: backends,
    requestTimeoutMs,
  });
  return { embedder, textEmbedder, batcher, clip, downloads, workerCount };
}

/** CLIP and the workers that it shares with whoever needs an image decoded. */
function composeLocalModel(config: Config, surroundings: Surroundings) {
  const { cores, log, ...rest } = surroundings;
  const workerCount = Math.min(config.WORKERS || limits.maxDefaultWorkers, cores);
  const batcher = createBatcher({
    workers: Array.from({ length: workerCount }, () => createWorker(rest.workerFiles)),
    decode: { maxPixels: config.MAX_PIXELS, orientation: config.EXIF_ORIENTATION },
    maxBatch: limits.maxBatch,
    hangTimeoutMs: limits.hangTimeoutMs,
    warmUpTimeoutMs: limits.warmUpTimeoutMs,
    writeModelTimeoutMs: limits.writeModelTimeoutMs,
    pingTimeoutMs: limits.pingTimeoutMs,
    onWorkerLost: rest.onWorkerLost,
    log,
  });
  const { architecture, preprocessing } = catalog[config.CLIP_MODEL];
  const { mean, std } = preprocessing;
  const clip = createClip({
    id: config.CLIP_MODEL,
    dimensions: architecture.dimensions,
    input: { side: architecture.vision.side, mean, std },
    weights: composeWeights(config, surroundings),
    clock: processClock,
    threadsPerWorker: Math.max(1, Math.floor(cores / workerCount)),
    batcher,
    log,
  });
  return { batcher, clip, workerCount };
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

/** NV-DINOv2, behind the proxy where there is one. */
function composeHostedModel(config: Config, surroundings: Surroundings, batcher: Batcher) {
  const { HTTPS_PROXY: url, NO_PROXY: noProxy, NVIDIA_BASE_URL: baseUrl } = config;
  return createNvDinov2({
    apiKey: surroundings.secrets.nvidiaApiKey,
    baseUrl: baseUrl || undefined,
    requestsPerMinute: config.NVIDIA_REQUESTS_PER_MINUTE || (baseUrl === "" ? 40 : 6000),
    proxy: url === "" ? undefined : { url, noProxy },
    prepare: (terms, maxBase64Chars) => batcher.prepareUpstream(terms, maxBase64Chars),
    log: surroundings.log,
  });
}

/** Counts each client's requests, where RATE_LIMIT sets a limit. */
function composeRateGuard({ RATE_LIMIT: limit, TRUSTED_PROXIES }: Config): RateGuard | undefined {
  const trusted = parseTrustedProxies(TRUSTED_PROXIES);
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
function reloadSecrets(secrets: Credentials, log: Log): void {
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

/** The local model's weights: from this host where they are here, else from the hub. */
function composeWeights(config: Config, { folders, hubCaches }: Surroundings) {
  const { CLIP_MODEL: id, HTTPS_PROXY: url, NO_PROXY: noProxy } = config;
  if (config.CLIP_WEIGHTS === "synthetic") {
    return createSyntheticSupply(folders.models, id, catalog[id].architecture);
  }
  const hub = createHub({
    endpoint: config.HF_ENDPOINT,
    token: config.HF_TOKEN,
    isOffline: config.HF_HUB_OFFLINE,
    proxy: url === "" ? undefined : { url, noProxy },
  });
  return createWeightsSupply(installedModel(folders.models, hubCaches, id, catalog[id]), hub);
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
   * Loads the native libraries, and the local model into every worker; `/readyz` says how that went. To be
   * called in the same turn of the event loop in which `listen` resolved: no request may be there before.
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
