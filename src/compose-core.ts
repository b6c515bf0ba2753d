/** Puts the core together, without HTTP: the models, the workers behind them, and where images come from. */
import { type Batcher, createBatcher } from "./backends/batcher.ts";
import { createClip } from "./backends/clip.ts";
import { processClock } from "./backends/clock.ts";
import { joinedBackend } from "./backends/joined-backend.ts";
import { createNvDinov2 } from "./backends/nv-dinov2.ts";
import { maxBase64Chars } from "./backends/nv-dinov2-call.ts";
import { createWorker, type WorkerFiles } from "./backends/pool.ts";
import { shapeOf } from "./backends/shape.ts";
import { type Config, proxyOf } from "./config.ts";
import { createEmbedder } from "./core/embed.ts";
import { createManyEmbedder } from "./core/embed-many.ts";
import { createTextEmbedder } from "./core/embed-text.ts";
import { createEachEmbedder } from "./core/embed-with-each.ts";
import { createRecall, type Recall } from "./core/recall.ts";
import { createShare, sharedBackend } from "./core/share.ts";
import { createThumbnailMaker } from "./core/thumbnail.ts";
import { limits } from "./limits.ts";
import type { Log } from "./log.ts";
import { catalog } from "./models/catalog.ts";
import { createHub } from "./models/hub.ts";
import type { HubCacheVariables } from "./models/hub-cache.ts";
import { installedModel } from "./models/installed-model.ts";
import { createSyntheticSupply, createWeightsSupply } from "./models/weights-supply.ts";
import { parseFetchAllow } from "./net/fetch-allow.ts";
import type { Observer } from "./observer.ts";
import { createDigester } from "./sources/digest.ts";
import { createAcquire } from "./sources/source.ts";
import { createUrlSource } from "./sources/url.ts";
import type { Credentials } from "./store/credentials.ts";
import { createDownloads } from "./store/downloads.ts";
import { createEmbeddingCache } from "./store/embedding-cache.ts";
import { embeddingDatabasePath } from "./store/embedding-database.ts";
import type { Folders } from "./store/folders.ts";

/** What the process gives beside the settings. */
export interface Surroundings {
  /** Cores that this process may keep busy, 1 at least. */
  readonly cores: number;
  readonly folders: Folders;
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
  /** Log lines that nobody read in time, since the process began. */
  readonly droppedLogLines: () => number;
  /** Called when a worker is lost for good: the process must drain and restart. */
  readonly onWorkerLost: (cause: Error) => void;
}

/** What a service has, and a command may have. */
interface Serving {
  /** Requests that may wait for image hosts at once, and as many for NVIDIA. */
  readonly sharePlaces?: number;
  /** What knows the vectors that were made before; undefined where none are kept. */
  readonly recall?: Recall | undefined;
  /** Takes note of the work. */
  readonly observer?: Observer;
  /** Whether a picture that comes alone is inferred on all cores: that takes a session more, which takes time to open. */
  readonly hasWideSession?: boolean;
  /** Whether the first worker that is warm can answer what comes; a command has work for all of them at once. */
  readonly isReadyWithFirst?: boolean;
}

/**
 * Makes the core and what it needs, without HTTP: every model and the workers behind them.
 *
 * @throws RangeError that names the faults of FETCH_ALLOW.
 */
export function composeCore(config: Config, surroundings: Surroundings, serving: Serving = {}) {
  const { sharePlaces = Number.POSITIVE_INFINITY, recall, observer } = serving;
  const { MAX_IMAGE_BYTES: maxImageBytes, FETCH_TIMEOUT_MS: fetchTimeoutMs } = config;
  const allow = parseFetchAllow(config.FETCH_ALLOW);
  const urlSource = createUrlSource({ fetchTimeoutMs, maxImageBytes, allow });
  const { now } = processClock;
  const fetching = createShare({ places: sharePlaces, whom: "image hosts", now });
  const downloads = createDownloads({
    directory: surroundings.folders.downloads,
    minFreeBytes: config.DOWNLOADS_MIN_FREE_BYTES,
  });
  const { batcher, clip, workers } = composeLocalModel(config, surroundings, serving);
  const hosted = composeHostedModel(config, surroundings, { batcher, observer });
  const asking = createShare({ places: sharePlaces, whom: "NVIDIA", now });
  const backends = [joinedBackend(clip), sharedBackend(joinedBackend(hosted), asking)];
  const requestTimeoutMs = config.REQUEST_TIMEOUT_MS;
  const acquire = createAcquire(
    { open: (url, signal) => fetching.run(() => urlSource.open(url, signal), signal) },
    maxImageBytes,
  );
  const makeThumbnail = createThumbnailMaker(batcher);
  const embedder = createEmbedder({
    backends,
    acquire,
    downloads,
    recall,
    makeThumbnail,
    keepDownloads: config.DOWNLOADS_KEEP,
    requestTimeoutMs,
  });
  const textEmbedder = createTextEmbedder({
    backends: [clip],
    imageBackends: backends,
    requestTimeoutMs,
  });
  const manyEmbedder = createManyEmbedder({
    embedder,
    textEmbedder,
    recall,
    textBackends: [clip],
    requestTimeoutMs,
  });
  const eachEmbedder = createEachEmbedder({
    backends,
    acquire,
    recall,
    makeThumbnail,
    inspect: async (job) => (await batcher.prepareUpstream(job, maxBase64Chars)).outcome,
    requestTimeoutMs,
  });
  const embedders = { embedder, textEmbedder, manyEmbedder, eachEmbedder };
  return { ...embedders, batcher, clip, downloads, workerCount: workers };
}

/** CLIP and the workers that it shares with whoever needs an image decoded. */
function composeLocalModel(
  config: Config,
  surroundings: Surroundings,
  { observer, hasWideSession = true, isReadyWithFirst = false }: Serving,
) {
  const { cores, log, ...rest } = surroundings;
  const { workers, threads, wideThreads } = shapeOf(cores, config.WORKERS);
  const batcher = createBatcher({
    workers: Array.from({ length: workers }, () => createWorker(rest.workerFiles)),
    decode: { maxPixels: config.MAX_PIXELS, orientation: config.EXIF_ORIENTATION },
    maxBatch: limits.maxBatch,
    maxTextBatch: limits.maxTextBatch,
    hangTimeoutMs: limits.hangTimeoutMs,
    warmUpTimeoutMs: limits.warmUpTimeoutMs,
    writeModelTimeoutMs: limits.writeModelTimeoutMs,
    pingTimeoutMs: limits.pingTimeoutMs,
    onWorkerLost: rest.onWorkerLost,
    isReadyWithFirst,
    observer,
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
    threadsPerWorker: threads,
    wideThreads: hasWideSession ? wideThreads : undefined,
    batcher,
    log,
  });
  return { batcher, clip, workers };
}

/** NV-DINOv2, behind the proxy where there is one. */
function composeHostedModel(
  config: Config,
  surroundings: Surroundings,
  { batcher, observer }: { readonly batcher: Batcher; readonly observer: Observer | undefined },
) {
  const { NVIDIA_BASE_URL: baseUrl } = config;
  return createNvDinov2({
    apiKey: surroundings.secrets.nvidiaApiKey,
    baseUrl: baseUrl || undefined,
    requestsPerMinute: config.NVIDIA_REQUESTS_PER_MINUTE || (baseUrl === "" ? 40 : 6000),
    proxy: proxyOf(config),
    prepare: (terms, maxBase64Chars) => batcher.prepareUpstream(terms, maxBase64Chars),
    log: surroundings.log,
    observer,
  });
}

/** The local model's weights: from this host where they are here, else from the hub. */
function composeWeights(config: Config, { folders, hubCaches }: Surroundings) {
  const { CLIP_MODEL: id, CLIP_PRECISION: precision } = config;
  if (config.CLIP_WEIGHTS === "synthetic") {
    const { architecture } = catalog[id];
    return createSyntheticSupply(folders.models, id, architecture, precision);
  }
  const hub = createHub({
    endpoint: config.HF_ENDPOINT,
    token: config.HF_TOKEN,
    isOffline: config.HF_HUB_OFFLINE,
    proxy: proxyOf(config),
  });
  const model = installedModel(folders.models, hubCaches, id, catalog[id]);
  return createWeightsSupply(model, hub, precision);
}

/** Knows the vectors that were made before, unless CACHE_MAX_BYTES says that none are kept. */
export function composeMemory(
  config: Config,
  { folders, workerFiles, log }: Pick<Surroundings, "folders" | "workerFiles" | "log">,
) {
  const { CACHE_MAX_BYTES: maxBytes, EXIF_ORIENTATION } = config;
  if (maxBytes === 0) return undefined;
  const filename = workerFiles.cache;
  const path = embeddingDatabasePath(folders.cache);
  const cache = createEmbeddingCache({ path, maxBytes, filename, log, now: processClock.now });
  const digester = createDigester({
    filename,
    maxInlineBytes: limits.maxHashedOnMainThreadBytes,
    timeoutMs: limits.hashTimeoutMs,
    idleMs: limits.cacheThreadIdleMs,
  });
  return {
    recall: createRecall({ cache, digester, reading: `exif=${EXIF_ORIENTATION}` }),
    open: cache.open,
    close: () => Promise.all([cache.close(), digester.close()]),
  };
}
