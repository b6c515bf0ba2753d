/** What of a model is on this host: its weights, whichever are served, and what was made of them. */
import { basename, join } from "node:path";
import { knownSource, type ModelDescription, type OnnxExport } from "./catalog.ts";
import type { FileFacts } from "./checked-files.ts";
import { type HubCacheVariables, hubCachePath } from "./hub-cache.ts";
import { type PinFault, pinnedPath, readPin } from "./pinned-weights.ts";
import {
  type ModelFiles,
  modelFilesIn,
  preparedFolder,
  preparedFolderIn,
  shortDigest,
} from "./prepared.ts";
import { findWeights, sizeOf, weightsPath } from "./weights.ts";

/** A model's weights, and where they lie or will. */
export interface InstalledWeights extends FileFacts {
  /** The service's own place for them. */
  readonly target: string;
  /** That place, and others where the same file may be. */
  readonly places: readonly string[];
  /** What is written from them. */
  readonly folder: string;
  readonly files: ModelFiles;
}

/** A published pair of ONNX files, and where it lies or will. */
export interface InstalledExport extends OnnxExport {
  readonly folder: string;
  readonly files: ModelFiles;
}

export interface InstalledModel extends ModelDescription {
  readonly id: string;
  readonly modelsDir: string;
  /** Undefined where the manifest does not know them well enough. */
  readonly published: InstalledWeights | undefined;
  /** An operator's own, which go before everything else. */
  readonly pinned: InstalledWeights | undefined;
  /** Why nobody can tell whether there are pinned ones. */
  readonly fault: PinFault | undefined;
  readonly onnxExport: InstalledExport | undefined;
}

/** Looks what there is to know of a model on this host; reads none of its weights. */
export function installedModel(
  modelsDir: string,
  variables: HubCacheVariables,
  id: string,
  description: ModelDescription,
): InstalledModel {
  const found = readPin(modelsDir, id);
  const source = knownSource(description);
  const installed = (target: string, cached: string | undefined, facts: FileFacts) => {
    const folder = preparedFolder(preparedFolderIn(modelsDir), id, facts.sha256);
    const places = cached === undefined ? [target] : [target, cached];
    const { bytes, sha256 } = facts;
    return { bytes, sha256, target, places, folder, files: modelFilesIn(folder) };
  };
  const isPinned = found !== undefined && "sha256" in found;
  return {
    ...description,
    id,
    modelsDir,
    published:
      source &&
      installed(weightsPath(modelsDir, id, source), hubCachePath(variables, source), source),
    pinned: isPinned
      ? installed(pinnedPath(modelsDir, id, found.sha256), undefined, found)
      : undefined,
    fault: found !== undefined && "fault" in found ? found : undefined,
    onnxExport: description.onnx && installedExport(modelsDir, id, description.onnx),
  };
}

function installedExport(modelsDir: string, id: string, published: OnnxExport): InstalledExport {
  const folder = join(modelsDir, id, "onnx");
  const imageTower = join(folder, basename(published.image.path));
  const textTower = join(folder, basename(published.text.path));
  return { ...published, folder, files: { imageTower, textTower } };
}

/** The weights that are served where they are here: the pinned ones before the published ones. */
export function servedWeights({ pinned, published }: InstalledModel): InstalledWeights | undefined {
  return pinned ?? published;
}

/** In which arithmetic a model embeds images; texts are fp32 always. */
export type Precision = "fp32" | "int8";

/** What names exactly these weights of a model, and the arithmetic in which they embed images. */
export function exactIdOf({ id, pinned }: InstalledModel, precision: Precision = "fp32"): string {
  return exactId(id, pinned && shortDigest(pinned.sha256), precision);
}

/** The id of a model, with what its weights are called unless they are the published ones, and its precision. */
export function exactId(id: string, weights: string | undefined, precision: Precision): string {
  const suffix = [weights, precision === "fp32" ? undefined : precision];
  const parts = suffix.filter((part) => part !== undefined);
  return parts.length === 0 ? id : `${id}@${parts.join("-")}`;
}

/** Path of the weights that are served; undefined where no file of the right length is here. */
export async function findServedWeights(model: InstalledModel): Promise<string | undefined> {
  const weights = servedWeights(model);
  return weights && (await findWeights(weights.places, weights));
}

/**
 * One clause about a file that lies where one of the model's files belongs and has another length; undefined
 * where none does. The published pair counts where no pinned weights go before it.
 */
export async function wrongFile(model: InstalledModel): Promise<string | undefined> {
  const { onnxExport, pinned } = model;
  const weights = servedWeights(model);
  const wanted = (weights?.places ?? []).map((path) => ({ path, bytes: weights?.bytes }));
  if (onnxExport !== undefined && pinned === undefined) {
    const { files, image, text } = onnxExport;
    wanted.push({ path: files.imageTower, bytes: image.bytes });
    wanted.push({ path: files.textTower, bytes: text.bytes });
  }
  for (const { path, bytes } of wanted) {
    const size = await sizeOf(path);
    if (size !== undefined && size !== bytes) {
      return `${basename(path)} has ${size} bytes instead of ${bytes}`;
    }
  }
  return undefined;
}

/** Whether both files of the published pair are here, with the right length, and no pinned weights go before them. */
export async function hasExport({ onnxExport, pinned }: InstalledModel): Promise<boolean> {
  if (onnxExport === undefined || pinned !== undefined) return false;
  const { image, text, files } = onnxExport;
  return (
    (await findWeights([files.imageTower], image)) !== undefined &&
    (await findWeights([files.textTower], text)) !== undefined
  );
}
