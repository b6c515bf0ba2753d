/** Every check, with the real host around it. */
import { lookup } from "node:dns/promises";
import { existsSync } from "node:fs";
import { availableParallelism } from "node:os";
import { shapeOf } from "../../backends/shape.ts";
import type { Config } from "../../config.ts";
import { catalog } from "../../models/catalog.ts";
import { findServedWeights, installedModel, servedWeights } from "../../models/installed-model.ts";
import { readHostText, usableCores } from "../../native/cgroup.ts";
import { cpuFeatures } from "../../native/cpu-features.ts";
import { glibcVersion, readLibstdcxx } from "../../native/host-libraries.ts";
import { openLibc } from "../../native/libc.ts";
import { describeNativeLoad, loadNativeLibraries } from "../../native/libraries.ts";
import { findOwner, readTcpSockets } from "../../native/tcp-sockets.ts";
import { openCredentials } from "../../store/credentials.ts";
import type { CommandCall } from "../command-call.ts";
import { hostCheck, portCheck } from "./address.ts";
import { type Check, fail, warn } from "./check.ts";
import { cacheFolderCheck, freeSpaceCheck, sharedMemoryCheck, writableCheck } from "./folders.ts";
import { glibcCheck, libstdcxxCheck, nativeLibrariesCheck } from "./libraries.ts";
import { coresCheck, descriptorsCheck, memoryCheck, procCheck, processorCheck } from "./machine.ts";
import { type Contact, networkChecks } from "./network.ts";
import { secretsChecks } from "./secrets.ts";
import { settingsChecks, umaskCheck, variablesCheck } from "./variables.ts";
import {
  missingModelBytes,
  preparedModelCheck,
  type WeightsOptions,
  weightsCheck,
} from "./weights.ts";

/** The checks of one call. */
export interface HostChecks {
  /** They take seconds at most, and may run at once. */
  readonly quick: readonly Check[];
  /** Reads all of the weights. */
  readonly slow: Check;
}

/**
 * Makes every check.
 *
 * @param faults one sentence for each setting that does not parse.
 * @param onRead hears how many bytes of the weights were read so far.
 */
export async function hostChecks(
  call: CommandCall,
  faults: readonly string[],
  onRead: (bytes: number) => void,
): Promise<HostChecks> {
  const weights = weightsOptions(call, onRead);
  return {
    quick: await quickChecks(call, faults, weights),
    slow: weightsCheck(weights),
  };
}

async function quickChecks(
  call: CommandCall,
  faults: readonly string[],
  weights: WeightsOptions,
): Promise<Check[]> {
  const { config, environment } = call;
  const cores = usableCores(readHostText, availableParallelism());
  const { workers } = shapeOf(cores, config.WORKERS);
  const host = { glibcVersion, libstdcxx: readLibstdcxx };
  const address = { host: config.HOST, port: config.PORT, findListener };
  const openSecrets = () => openCredentials(config, environment["CREDENTIALS_DIRECTORY"]);
  return [
    ...settingsChecks(faults),
    variablesCheck(environment),
    processorCheck(cpuFeatures, process.arch),
    coresCheck(readHostText, cores, workers),
    memoryCheck(readHostText, workers),
    descriptorsCheck(readHostText),
    procCheck(readHostText),
    sharedMemoryCheck(),
    umaskCheck(process.umask()),
    glibcCheck(host),
    libstdcxxCheck(host),
    nativeLibrariesCheck(() => loadNative(call)),
    ...folderChecks(call, await missingModelBytes(weights)),
    ...secretsChecks(openSecrets, config.NVIDIA_BASE_URL === ""),
    hostCheck(address),
    portCheck(address),
    ...networkChecks({
      contacts: contactsOf(config),
      proxy: config.HTTPS_PROXY,
      noProxy: config.NO_PROXY,
      lookUp: lookup,
      askForHead,
      now: () => new Date(),
    }),
    preparedModelCheck(weights),
  ];
}

function weightsOptions(
  { config, environment, folders }: CommandCall,
  onRead: (bytes: number) => void,
): WeightsOptions {
  const id = config.CLIP_MODEL;
  const model = installedModel(folders.models, environment, id, catalog[id]);
  const findFile = async () => {
    const own = servedWeights(model)?.target;
    // One of the wrong length is there too, and somebody should know.
    return (await findServedWeights(model)) ?? (own && existsSync(own) ? own : undefined);
  };
  return { config, model, findFile, onRead };
}

function folderChecks({ config, folders }: CommandCall, modelBytes: number): Check[] {
  const models = { path: folders.models, setting: "MODELS_DIR" };
  const downloads = { path: folders.downloads, setting: "DOWNLOADS_DIR" };
  const canRun = (descriptor: number) => {
    using libc = openLibc();
    return libc.canRun(descriptor);
  };
  // What is complete is only read.
  const complain = modelBytes === 0 ? warn : fail;
  return [
    writableCheck({ name: "models folder", ...models, complain }),
    freeSpaceCheck({
      name: "models disk",
      ...models,
      neededBytes: modelBytes,
      otherwise: "the model cannot be prepared",
    }),
    writableCheck({ name: "downloads folder", ...downloads }),
    freeSpaceCheck({
      name: "downloads disk",
      ...downloads,
      neededBytes: config.DOWNLOADS_MIN_FREE_BYTES,
      otherwise: "images are refused with 507",
    }),
    cacheFolderCheck(folders.cache, canRun),
  ];
}

function loadNative({ config, folders }: CommandCall): string {
  const load = loadNativeLibraries({ cacheDir: folders.cache, nativeDir: config.NATIVE_DIR });
  return describeNativeLoad(load);
}

function contactsOf(config: Config): Contact[] {
  const nvidia = config.NVIDIA_BASE_URL || "https://ai.api.nvidia.com";
  const usesHub = config.CLIP_WEIGHTS === "openai" && !config.HF_HUB_OFFLINE;
  return [
    { name: "NVIDIA", origin: new URL(nvidia) },
    ...(usesHub ? [{ name: "hub", origin: new URL(config.HF_ENDPOINT) }] : []),
  ];
}

function askForHead(url: URL, proxy: string | undefined, signal: AbortSignal): Promise<Response> {
  const through = proxy === undefined ? {} : { proxy };
  return fetch(url, { method: "HEAD", redirect: "manual", signal, ...through });
}

function findListener(port: number) {
  const inode = readTcpSockets(port).find(({ isListening }) => isListening)?.inode;
  const pid = inode === undefined ? undefined : findOwner(inode);
  if (pid === undefined) return undefined;
  return { pid, name: readHostText(`/proc/${pid}/comm`)?.trim() ?? "a process" };
}
