import { mkdtemp, rm } from "node:fs/promises";
import { availableParallelism, tmpdir } from "node:os";
import { basename, dirname, join } from "node:path";
import type { WorkerFiles } from "../../src/backends/pool.ts";
import { composeService } from "../../src/compose.ts";
import { parseConfig, type SettingName } from "../../src/config.ts";
import { createLog } from "../../src/log.ts";
import { workerFiles } from "../../src/native/worker-files.ts";
import { openCredentials } from "../../src/store/credentials.ts";
import { refuseLeaks } from "./secret-traces.ts";

/** A real service on a free port of loopback, in this process, with real workers. */
export interface TestService extends AsyncDisposable {
  readonly url: URL;
  /** Its own folder, empty at the start. */
  readonly downloadsDir: string;
  /** Folder of its cache: its own, unless it was told. */
  readonly cacheDir: string;
  /** Log lines so far, as JSON texts. */
  readonly log: readonly string[];
  /** Errors of workers that were lost. */
  readonly lost: readonly Error[];
  stop(): Promise<void>;
}

/** Settings by name, as texts; the rest are the test's defaults. */
export type TestSettings = Readonly<Partial<Record<SettingName, string>>>;

/** Settings under which a service reaches hosts on loopback for images, and a fake in NVIDIA's place. */
export function reachingFakes(nvidia: { readonly url: string }): TestSettings {
  return {
    FETCH_ALLOW: "127.0.0.1",
    NVIDIA_API_KEY: "nvapi-fake",
    NVIDIA_BASE_URL: nvidia.url,
  };
}

/** Settings under which NV-DINOv2 takes requests, and none of them reaches anybody. */
export const takingNvDinov2: TestSettings = {
  NVIDIA_API_KEY: "nvapi-fake",
  NVIDIA_BASE_URL: "http://127.0.0.1:1",
};

/** Synthetic weights are made once on a host: 600 MB, the same for every test. */
export const testModelsDir = join(tmpdir(), "imagesvc-test-models");

/**
 * Starts a service and waits until its model is ready.
 *
 * @param settings one worker, synthetic weights and loopback unless they say otherwise.
 * @param ownWorkers workers in the place of the real ones.
 * @param cores that it believes it has; those of this machine unless told.
 */
export async function startService(
  settings: TestSettings = {},
  ownWorkers: Partial<WorkerFiles> = {},
  cores: number = availableParallelism(),
): Promise<TestService> {
  const downloadsDir = await mkdtemp(join(tmpdir(), "imagesvc-downloads-"));
  const cacheDir =
    settings.CACHE_DIR ?? join(dirname(downloadsDir), `${basename(downloadsDir)}-cache`);
  const parsed = parseConfig({
    HOST: "127.0.0.1",
    PORT: "0",
    CLIP_WEIGHTS: "synthetic",
    WORKERS: "1",
    DOWNLOADS_MIN_FREE_BYTES: "0",
    // Else the second of two tests with the same picture would test the cache.
    CACHE_MAX_BYTES: "0",
    HF_HUB_OFFLINE: "true",
    ...settings,
  });
  if ("faults" in parsed) throw new Error(parsed.faults.join("; "));
  const log: string[] = [];
  const lost: Error[] = [];
  const service = composeService(parsed.config, {
    cores,
    folders: { models: testModelsDir, downloads: downloadsDir, cache: cacheDir },
    // No cache of this host is looked into.
    hubCaches: {},
    prepareThreads: () => {},
    secrets: openCredentials(parsed.config, undefined),
    workerFiles: { ...workerFiles, ...ownWorkers },
    log: createLog({
      level: "debug",
      format: "json",
      write: (line) => log.push(line),
      now: () => new Date(),
    }),
    droppedLogLines: () => 0,
    onWorkerLost: (cause) => lost.push(cause),
  });
  const url = await service.listen();
  await service.load(false);
  const stop = async () => {
    await service.stop();
    await rm(downloadsDir, { recursive: true, force: true });
    if (settings.CACHE_DIR === undefined) await rm(cacheDir, { recursive: true, force: true });
    refuseLeaks(settings, [{ where: "the log", text: log.join("") }]);
  };
  return { url, downloadsDir, cacheDir, log, lost, stop, [Symbol.asyncDispose]: stop };
}
