/** `imagesvc models import`: weights from a folder, for hosts that download nothing. */
import { access, constants } from "node:fs/promises";
import { codeOf } from "../errors.ts";
import { catalog, knownSource, type Models } from "../models/catalog.ts";
import { modelsFolderFault, unreadableFault } from "../models/folder-fault.ts";
import { importExport } from "../models/import-export.ts";
import { importPinned } from "../models/import-pinned.ts";
import type { InstalledModel } from "../models/installed-model.ts";
import { sha256Pattern, unpin } from "../models/pinned-weights.ts";
import { shortDigest } from "../models/prepared.ts";
import {
  type CopyTerms,
  type ImportFault,
  importWeights,
  isAnyThere,
  placesIn,
  sizeOf,
} from "../models/weights.ts";
import { isFolder } from "../sources/folder.ts";
import type { CommandCall } from "./command-call.ts";
import { chosenModel, localModels } from "./local-models.ts";
import { type StartWorker, writeServedModel } from "./model-writing.ts";
import { megabytes } from "./progress.ts";

/** An exit code, or the id of the model whose weights are here now. */
type Outcome = number | { readonly id: string };

/**
 * Takes the published weights of whichever model a folder has, or with `--sha256` an operator's own; and writes
 * the model that runs from them.
 *
 * @param startWorker without it only the weights are brought here.
 */
export async function runModelsImport(
  call: CommandCall,
  models: Models = catalog,
  startWorker?: StartWorker,
): Promise<number> {
  const outcome = await takeWeights(call, models);
  if (typeof outcome === "number") return outcome;
  // Read again: which weights are pinned is another matter now.
  const model = chosenModel(call, models, outcome.id);
  if (model === undefined || startWorker === undefined) return 0;
  return await writeServedModel(call, model, startWorker);
}

async function takeWeights(call: CommandCall, models: Models): Promise<Outcome> {
  const sha256 = textOf(call, "sha256");
  const progress = call.startProgress(megabytes);
  const terms = { signal: call.interrupted, onProgress: progress.show };
  // A line of its own, not behind the bar.
  const tell = (line: string) => {
    progress.end();
    call.tell(line);
  };
  const telling = { ...call, tell };
  try {
    return sha256 === undefined
      ? await takePublished(telling, models, terms)
      : await takePinned(telling, models, sha256, terms);
  } catch (error) {
    const fault = isAboutFolder(error, call.folders.models)
      ? modelsFolderFault(error)
      : unreadableFault(error);
    if (fault === undefined) throw error;
    tell(`imagesvc: nothing was imported: ${fault}`);
    return 1;
  } finally {
    progress.end();
  }
}

/** Whether an error of the file system is one of the folder that is written to, not of that which is read. */
function isAboutFolder(error: unknown, modelsDir: string): boolean {
  if (["ENOSPC", "EDQUOT", "EROFS"].includes(codeOf(error))) return true;
  return error instanceof Error && "path" in error && String(error.path).startsWith(modelsDir);
}

/** Takes the published weights, or the published ONNX pair. */
async function takePublished(
  call: CommandCall,
  models: Models,
  terms: CopyTerms,
): Promise<Outcome> {
  const named = textOf(call, "model");
  const chosen = named === undefined ? undefined : chosenModel(call, models, named);
  if (named !== undefined && chosen === undefined) return 2;
  const folder = call.operands[0] ?? ".";
  if (!(await isFolder(folder))) {
    call.tell(`imagesvc: models import: "${folder}" is no folder: check its path`);
    return 1;
  }
  await access(folder, constants.R_OK | constants.X_OK);
  const wanted = chosen === undefined ? localModels(call, models) : [chosen];
  const faults: ImportFault[] = [];
  for (const model of wanted) {
    const outcome = await importPublished(folder, model, terms);
    if ("place" in outcome) {
      await unpin(model.modelsDir, model.id);
      call.tell(`${model.id} is here: ${outcome.place}`);
      if (model.pinned !== undefined) {
        call.tell(
          `${model.id} is no longer pinned: the published weights are served from the next start on`,
        );
      }
      return { id: model.id };
    }
    faults.push({ ...outcome, sentence: `${model.id}: ${outcome.sentence}` });
  }
  for (const sentence of sentencesOf(faults, folder)) call.tell(`imagesvc: ${sentence}`);
  return 1;
}

/** Says nothing of models that the folder has no file of, unless there was only one in question. */
function sentencesOf(faults: readonly ImportFault[], folder: string): readonly string[] {
  const relevant = faults.length === 1 ? faults : faults.filter(({ isThere }) => isThere);
  return relevant.length > 0
    ? relevant.map(({ sentence }) => sentence)
    : [`"${folder}" has no file of any model: imagesvc models list says which are taken`];
}

async function importPublished(
  folder: string,
  model: InstalledModel,
  terms: CopyTerms,
): Promise<{ readonly place: string } | ImportFault> {
  const { id, published, onnxExport } = model;
  const source = knownSource(model);
  if (source === undefined || published === undefined) {
    const sentence = `no SHA-256 of it is known here: pin your own with --sha256 HEX --model ${id}`;
    return { sentence, isThere: await isAnyThere(placesIn(folder, id, model.source)) };
  }
  const fault = await importWeights(folder, published.target, source, terms);
  if (fault === undefined) return { place: published.target };
  if (onnxExport === undefined) return fault;
  const noPair = await importExport(folder, model, onnxExport, terms);
  if (noPair === undefined) return { place: onnxExport.folder };
  const aboutPair = `of the ONNX pair ${noPair.sentence}`;
  if (!noPair.isThere) return fault;
  if (!fault.isThere) return { sentence: aboutPair, isThere: true };
  return { sentence: `${fault.sentence}; and ${aboutPair}`, isThere: true };
}

/** Pins a file by its digest. */
async function takePinned(
  call: CommandCall,
  models: Models,
  text: string,
  terms: CopyTerms,
): Promise<Outcome> {
  if (!sha256Pattern.test(text)) {
    call.tell(
      "imagesvc: models import: --sha256 must be 64 hex digits: sha256sum FILE prints them",
    );
    return 2;
  }
  const sha256 = text.toLowerCase();
  // The operand is the folder; where no model is named, it is the one that runs here.
  const model = chosenModel(call, models, textOf(call, "model") ?? defaultOf(call, models));
  if (model === undefined) return 2;
  const from = call.operands[0] ?? ".";
  if (!(await isFolder(from)) && (await sizeOf(from)) === undefined) {
    call.tell(`imagesvc: models import: "${from}" is no folder, nor a file: check its path`);
    return 1;
  }
  await access(from, constants.R_OK);
  const fault = await importPinned(from, model, sha256, terms);
  if (fault !== undefined) {
    call.tell(`imagesvc: ${fault}`);
    return 1;
  }
  call.tell(
    `${model.id} is pinned: from the next start on it is served as ${model.id}@${shortDigest(sha256)}, without checks of its vectors`,
  );
  return { id: model.id };
}

function defaultOf({ config }: CommandCall, models: Models): string | undefined {
  const { CLIP_MODEL } = config;
  return CLIP_MODEL in models ? CLIP_MODEL : Object.keys(models)[0];
}

function textOf({ options }: CommandCall, name: string): string | undefined {
  const value = options.get(name);
  return typeof value === "string" ? value : undefined;
}
