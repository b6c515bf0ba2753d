/** `imagesvc models list|pull|remove`: the weights on this host. */
import { rm } from "node:fs/promises";
import { proxyOf } from "../config.ts";
import { catalog, knownSource, type Models } from "../models/catalog.ts";
import type { FileFacts } from "../models/checked-files.ts";
import { modelsFolderFault, unreadableFault } from "../models/folder-fault.ts";
import { createHub } from "../models/hub.ts";
import {
  exactIdOf,
  findServedWeights,
  hasExport,
  type InstalledModel,
  type InstalledWeights,
  servedWeights,
  wrongFile,
} from "../models/installed-model.ts";
import { packedStateOf } from "../models/packed.ts";
import { int8FilesOf } from "../models/prepared.ts";
import { preparedState } from "../models/prepared-check.ts";
import { type Removal, removeModel } from "../models/remove-model.ts";
import { findWeights, weightsFault } from "../models/weights.ts";
import { hostInt8 } from "../models/weights-supply.ts";
import type { CommandCall } from "./command-call.ts";
import { chosenModel, localModels } from "./local-models.ts";
import { type StartWorker, writeServedModel } from "./model-writing.ts";
import { megabytes } from "./progress.ts";

/** Prints every model, with what of it is on this host. */
export async function runModelsList(call: CommandCall, models: Models = catalog): Promise<number> {
  const rows = await Promise.all(localModels(call, models).map(describe));
  if (call.options.has("json")) {
    await call.print(`${JSON.stringify(rows, null, 2)}\n`);
    return 0;
  }
  for (const row of rows) {
    const { id, dimensions, licence, source, exactId, pinned } = row;
    const bytes = pinned?.bytes ?? source.bytes;
    const size = bytes === undefined ? "size unknown" : `${(bytes / 1e6).toFixed(1)} MB`;
    await call.print(`${id}  ${dimensions} numbers  ${licence}  ${size}  ${stateOf(row)}\n`);
    const from =
      pinned === null
        ? `from ${source.repository} at ${source.revision}, ${source.path}`
        : `pinned by its SHA-256, and served as ${exactId}: ${pinned.sha256}`;
    await call.print(`  ${from}\n`);
  }
  return 0;
}

/** What `--json` prints of a model. */
async function describe(model: InstalledModel) {
  const { id, description, architecture, licence, source, pinned, onnxExport, fault } = model;
  const weights = servedWeights(model);
  const hasPair = await hasExport(model);
  const prepared =
    weights === undefined
      ? "missing"
      : await preparedState(weights.files, architecture, weights.sha256);
  const own = prepared === "complete" ? weights?.files : undefined;
  const towers = own ?? (hasPair ? onnxExport?.files : undefined);
  return {
    id,
    exactId: exactIdOf(model),
    description,
    dimensions: architecture.dimensions,
    licence: licence.spdx,
    source,
    /** The operator's own weights, which are served in the published ones' place. */
    pinned: pinned === undefined ? null : { bytes: pinned.bytes, sha256: pinned.sha256 },
    /** Why it cannot be told whether there are pinned ones. */
    fault: fault === undefined ? null : `${fault.fault}: ${fault.mend}`,
    /** A file in the place of one of the model's that cannot be it. */
    wrong: (await wrongFile(model)) ?? null,
    /** Where the weights are that are served. */
    weights: (await findServedWeights(model)) ?? null,
    /** Where the published ONNX pair is. */
    onnx: hasPair ? (onnxExport?.folder ?? null) : null,
    prepared,
    /** The same, packed for this host, its weights shared by all workers. */
    packed: towers === undefined ? "missing" : await packedStateOf(towers),
    /** The image tower in int8, made of the same weights where CLIP_PRECISION asks for it. */
    int8:
      weights === undefined
        ? "missing"
        : await preparedState(
            int8FilesOf(weights.folder, await hostInt8()),
            architecture,
            weights.sha256,
          ),
  };
}

function stateOf(row: Awaited<ReturnType<typeof describe>>): string {
  const { id, fault, onnx, pinned, prepared, source, weights, wrong } = row;
  if (fault !== null) return fault;
  if (prepared === "complete") return row.int8 === "complete" ? "ready, in int8 too" : "ready";
  if (weights !== null) return "here; the first start of the service prepares it";
  if (prepared === "changed") return "changed since it was made; the next start checks it";
  if (onnx !== null) return "here as ONNX, and served as it stands";
  if (wrong !== null) return `${wrong}: ${pinned === null ? pullAgain(id) : "import it again"}`;
  if (pinned !== null) return "its pinned weights are not here: import them again";
  return source.sha256 === undefined
    ? `not here, and no SHA-256 of it is known: imagesvc models import DIR --sha256 HEX --model ${id}`
    : `not here: imagesvc models pull ${id}`;
}

function pullAgain(id: string): string {
  return `imagesvc models pull ${id}, or models import DIR`;
}

/**
 * Downloads the published weights of a model, unless they are there, and writes the model that runs from them;
 * not where pinned weights are served in their place.
 *
 * @param startWorker without it only the weights are brought here.
 */
export async function runModelsPull(
  call: CommandCall,
  models: Models = catalog,
  startWorker?: StartWorker,
): Promise<number> {
  const model = chosenModel(call, models);
  if (model === undefined) return 2;
  const code = await pull(call, model);
  if (code !== 0 || startWorker === undefined || model.pinned !== undefined) return code;
  return await writeServedModel(call, model, startWorker);
}

async function pull(call: CommandCall, model: InstalledModel): Promise<number> {
  const { id, published, pinned } = model;
  const source = knownSource(model);
  if (source === undefined || published === undefined) {
    call.tell(
      `imagesvc: ${id} is not downloaded: no SHA-256 of it is known here; pin your own file with: imagesvc models import DIR --sha256 HEX --model ${id}`,
    );
    return 1;
  }
  if (pinned !== undefined) {
    call.tell(`${id} is pinned: until imagesvc models remove ${id}, the pinned file is served`);
  }
  const { HF_ENDPOINT, HF_TOKEN, HF_HUB_OFFLINE } = call.config;
  const { target } = published;
  const settled = await useWhatIsHere(call, id, published);
  if (settled !== undefined) return settled;
  const hub = createHub({
    endpoint: HF_ENDPOINT,
    token: HF_TOKEN,
    isOffline: HF_HUB_OFFLINE,
    proxy: proxyOf(call.config),
  });
  if (!HF_HUB_OFFLINE) call.tell(`downloading ${id} from ${HF_ENDPOINT}/${source.repository}`);
  const progress = call.startProgress(megabytes);
  const tellApart = (line: string) => {
    progress.end();
    call.tell(line);
  };
  const failure = await hub
    .pull(source, target, {
      signal: call.interrupted,
      onProgress: ({ receivedBytes, totalBytes }) => progress.show(receivedBytes, totalBytes),
      onWait: () => tellApart("another process downloads it: waiting until that one is done"),
      onSetback: ({ reason, waitMs }) =>
        tellApart(`imagesvc: ${reason}; the next try is in ${Math.ceil(waitMs / 1000)} s`),
      bytesBeside: source.bytes,
    })
    .finally(progress.end);
  if (failure === undefined) {
    call.tell(`${id} is here: ${target}`);
    return 0;
  }
  const mend = `or take the file from elsewhere with: imagesvc models import DIR`;
  call.tell(`imagesvc: ${id} was not downloaded: ${failure.sentence}; ${mend}`);
  return 1;
}

/**
 * Looks whether the weights are here already; one of our own that is damaged is deleted.
 *
 * @returns the exit code where nothing is to be downloaded.
 */
async function useWhatIsHere(
  call: CommandCall,
  id: string,
  { target, places, ...facts }: InstalledWeights,
): Promise<number | undefined> {
  const there = await findWeights(places, facts);
  if (there === undefined) return undefined;
  const fault = await faultOf(call, there, facts);
  if (fault === undefined) {
    call.tell(`${id} is here already: ${there}`);
    return 0;
  }
  // Our own is replaced only where its bytes are known to be others.
  if ("unreadable" in fault && there === target) {
    call.tell(`imagesvc: ${id} was not downloaded: ${fault.unreadable}`);
    return 1;
  }
  call.tell(`imagesvc: ${there} is not used: ${"wrong" in fault ? fault.wrong : fault.unreadable}`);
  if (there === target && !call.config.HF_HUB_OFFLINE) await rm(target);
  return undefined;
}

/** What is wrong with a file of the right length. */
async function faultOf(
  { interrupted: signal }: CommandCall,
  path: string,
  facts: FileFacts,
): Promise<{ readonly wrong: string } | { readonly unreadable: string } | undefined> {
  try {
    const wrong = await weightsFault(path, facts, { signal });
    return wrong === undefined ? undefined : { wrong };
  } catch (error) {
    return { unreadable: unreadableFault(error) };
  }
}

/** Deletes the weights of a model, pinned ones too, and what was written from them. */
export async function runModelsRemove(
  call: CommandCall,
  models: Models = catalog,
): Promise<number> {
  const model = chosenModel(call, models);
  if (model === undefined) return 2;
  let removal: Removal;
  try {
    removal = await removeModel(model);
  } catch (error) {
    const fault = modelsFolderFault(error);
    if (fault === undefined) throw error;
    call.tell(`imagesvc: ${model.id} was not removed: ${fault}`);
    return 1;
  }
  switch (removal) {
    case "removed":
      call.tell(`${model.id} is no longer here${model.pinned ? ", nor pinned" : ""}`);
      return 0;
    case "nothing":
      call.tell(`nothing of ${model.id} was here`);
      return 0;
    case "busy":
      call.tell(
        `imagesvc: ${model.id} was not removed: another process brings it here: end it, or wait until it is done`,
      );
      return 1;
    default:
      return removal satisfies never;
  }
}
