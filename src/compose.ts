/** Puts the service together: the one place that knows every part. */
import { basename, join } from "node:path";
import { type Batcher, createBatcher } from "./backends/batcher.ts";
import { createClip } from "./backends/clip.ts";
import { createNvDinov2 } from "./backends/nv-dinov2.ts";
import { startWorker, type WorkerFiles } from "./backends/pool.ts";
import type { PublishedWeights } from "./backends/protocol.ts";
import type { Config } from "./config.ts";
import { createAdmission } from "./core/admission.ts";
import { createEmbedder } from "./core/embed.ts";
import { createApp } from "./http/app.ts";
import type { Call } from "./http/call.ts";
import type { Lifecycle } from "./http/lifecycle.ts";
import { createReaders } from "./http/readers.ts";
import { type HttpServer, startHttpServer } from "./http/server.ts";
import { limits } from "./limits.ts";
import type { Log } from "./log.ts";
import { clip as clipModel } from "./models/catalog.ts";
import { parseFetchAllow } from "./net/fetch-allow.ts";
import { createAcquire } from "./sources/source.ts";
import { createUrlSource } from "./sources/url.ts";
import { createDownloads } from "./store/downloads.ts";

/** What the process gives beside the settings. */
export interface Surroundings {
  /** Cores that this process may use. */
  readonly cores: number;
  /** Folders as the settings and systemd give them. */
  readonly folders: { readonly models: string; readonly downloads: string };
  readonly nvidiaApiKey: string | undefined;
  readonly workerFiles: WorkerFiles;
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
  const { log, folders } = surroundings;
  const { MAX_IMAGE_BYTES: maxImageBytes, FETCH_TIMEOUT_MS: fetchTimeoutMs } = config;
  const allow = parseFetchAllow(config.FETCH_ALLOW);
  const urlSource = createUrlSource({ fetchTimeoutMs, maxImageBytes, allow });
  const downloads = createDownloads({
    directory: folders.downloads,
    minFreeBytes: config.DOWNLOADS_MIN_FREE_BYTES,
  });
  const { batcher, clip } = composeLocalModel(config, surroundings);
  const embedder = createEmbedder({
    backends: [clip, composeHostedModel(config, surroundings, batcher)],
    acquire: createAcquire(urlSource, maxImageBytes),
    downloads,
    keepDownloads: config.DOWNLOADS_KEEP,
    requestTimeoutMs: config.REQUEST_TIMEOUT_MS,
  });
  const admission = createAdmission({
    maxArriving: limits.maxArriving,
    maxArrivingBytes: limits.maxArrivingBytes,
    limit: config.QUEUE_LIMIT,
    expectedWaitMs: batcher.expectedWaitMs,
    maxWaitMs: config.REQUEST_TIMEOUT_MS,
  });
  const calls = new WeakMap<Request, Call>();
  const lifecycle: Lifecycle = { isDraining: false };
  const maxBodyBytes = config.MAX_BODY_BYTES;
  const readers = createReaders({ calls, admission, downloads, maxBodyBytes, maxImageBytes });
  const corsOrigins = config.CORS_ORIGINS;
  const app = createApp({ embedder, calls, readers, lifecycle, corsOrigins });
  let server: HttpServer | undefined;
  return {
    openApi: app.openApi,
    listen: async () => {
      await downloads.prepare();
      const address = { hostname: config.HOST, port: config.PORT };
      server = startHttpServer({ app, calls, lifecycle, log, ...address });
      return server.url;
    },
    load: () => clip.load(),
    stop: async () => {
      lifecycle.isDraining = true;
      const isDone = (await server?.stop(limits.drainTimeoutMs)) ?? true;
      if (!isDone) log.warn("requests were still under way at the deadline, and are cut");
      await server?.close();
      await batcher.close();
    },
  };
}

/** CLIP and the workers that it shares with whoever needs an image decoded. */
function composeLocalModel(config: Config, { cores, folders, log, ...rest }: Surroundings) {
  const workerCount = Math.min(config.WORKERS || limits.maxDefaultWorkers, cores);
  const batcher = createBatcher({
    workers: Array.from({ length: workerCount }, () => startWorker(rest.workerFiles)),
    decode: { maxPixels: config.MAX_PIXELS, orientation: config.EXIF_ORIENTATION },
    maxBatch: limits.maxBatch,
    hangTimeoutMs: limits.hangTimeoutMs,
    warmUpTimeoutMs: limits.warmUpTimeoutMs,
    onWorkerLost: rest.onWorkerLost,
  });
  const clip = createClip({
    id: clipModel.id,
    dimensions: clipModel.architecture.dimensions,
    side: clipModel.architecture.vision.side,
    weights: config.CLIP_WEIGHTS === "synthetic" ? undefined : publishedWeights(folders.models),
    modelsDir: join(folders.models, "prepared"),
    threadsPerWorker: Math.max(1, Math.floor(cores / workerCount)),
    batcher,
    log,
  });
  return { batcher, clip };
}

/** NV-DINOv2, behind the proxy where there is one. */
function composeHostedModel(config: Config, surroundings: Surroundings, batcher: Batcher) {
  const { HTTPS_PROXY: url, NO_PROXY: noProxy, NVIDIA_BASE_URL: baseUrl } = config;
  return createNvDinov2({
    apiKey: () => surroundings.nvidiaApiKey,
    baseUrl: baseUrl || undefined,
    requestsPerMinute: config.NVIDIA_REQUESTS_PER_MINUTE || (baseUrl === "" ? 40 : 6000),
    proxy: url === "" ? undefined : { url, noProxy },
    prepare: (terms, maxBase64Chars) => batcher.prepareUpstream(terms, maxBase64Chars),
    log: surroundings.log,
  });
}

/** The file of the published weights, where the operator puts it. */
function publishedWeights(modelsDir: string): PublishedWeights {
  const { path, bytes, sha256 } = clipModel.source;
  return { path: join(modelsDir, clipModel.id, basename(path)), bytes, sha256 };
}

/** The service as its owner sees it: a command, or a test. */
export interface Service {
  /** The OpenAPI document, as text. */
  readonly openApi: () => Promise<string>;
  /**
   * Prepares the downloads folder and listens. Requests for models that are not loaded are refused.
   *
   * @throws Error of the file system or of the socket, with its `code`.
   */
  listen(): Promise<URL>;
  /** Loads the local model into every worker; `/readyz` says how it went. */
  load(): Promise<void>;
  /** Takes no more work, finishes what is under way, and ends the workers. */
  stop(): Promise<void>;
}

/**
 * Where the service writes: the setting, else systemd's folder, else the working folder.
 *
 * @param stateDirectory systemd's `$STATE_DIRECTORY`: the first of a list that colons part.
 */
export function foldersOf(config: Config, stateDirectory: string | undefined) {
  const state = stateDirectory?.split(":", 1)[0] || ".";
  return {
    models: config.MODELS_DIR || join(state, "models"),
    downloads: config.DOWNLOADS_DIR || join(state, "downloads"),
  };
}
