/** How the weights of a model get onto this host while the service runs. */
import type { ModelToWrite } from "../backends/protocol.ts";
import { cpuFeatures } from "../native/cpu-features.ts";
import { knownSource } from "./catalog.ts";
import { unreadableFault } from "./folder-fault.ts";
import type { Hub } from "./hub.ts";
import type { DownloadTerms, PullFailure } from "./hub-download.ts";
import {
  exactId,
  exactIdOf,
  findServedWeights,
  hasExport,
  type InstalledModel,
  type InstalledWeights,
  type Precision,
  servedWeights,
  wrongFile,
} from "./installed-model.ts";
import type { ClipArchitecture } from "./onnx/architecture.ts";
import { type Int8Arithmetic, int8ArithmeticFor } from "./onnx/arithmetic.ts";
import { int8FilesOf, preparedFolderIn, syntheticFolder, type TowerFiles } from "./prepared.ts";
import { type PreparedState, preparedState } from "./prepared-check.ts";
import { weightsFault } from "./weights.ts";

/** The weights of one model. */
export interface WeightsSupply {
  /** What names exactly these weights of the model, such as `clip-ViT-B-32@synthetic`. */
  readonly exactId: string;
  /** The same for its texts, which are fp32 always. */
  readonly textId: string;
  readonly isSynthetic: boolean;
  /** What can be downloaded; undefined where nothing can. */
  readonly download: { readonly bytes: number; readonly pull: Pull } | undefined;
  /** How an operator gets them, as the beginning of a sentence. */
  readonly mend: string;
  /** What the towers can be had from now; or one sentence about why from nothing. */
  find(): Promise<ModelToWrite | { readonly unavailable: string }>;
  /** Where `find` has no weights: one sentence about a file in their place that cannot be they. */
  findFault(): Promise<string | undefined>;
}

/**
 * Downloads the weights, or waits until the process is done that does.
 *
 * @returns undefined once `find` finds them.
 * @throws the signal's reason; what came stays for the next try.
 */
type Pull = (terms: DownloadTerms) => Promise<PullFailure | undefined>;

/** Makes the supply of a model's own weights. */
export function createWeightsSupply(
  model: InstalledModel,
  hub: Hub,
  precision: Precision = "fp32",
): WeightsSupply {
  let damaged: string | undefined;
  return {
    exactId: exactIdOf(model, precision),
    textId: exactIdOf(model),
    isSynthetic: false,
    download: downloadOf(model, hub),
    mend: mendOf(model),
    find: async () => {
      const found = await findTowers(model, precision);
      damaged = "damaged" in found ? found.damaged : undefined;
      return found;
    },
    findFault: async () => {
      if (damaged !== undefined) return damaged;
      const fault = await wrongFile(model);
      if (fault !== undefined) return `${fault}: copy it again.`;
      return precision === "int8" && (await hasExport(model)) ? pairIsFloat : undefined;
    },
  };
}

const pairIsFloat =
  "The published ONNX pair is here, but CLIP_PRECISION=int8 is made from the weights themselves: with CLIP_PRECISION=fp32 the pair is served.";

/** What a model's towers can be had from now. */
export interface FoundTowers extends ModelToWrite {
  /** One sentence about a file that was passed over: not ours, of the right length, and another. */
  readonly damaged?: string;
}

/** What a model's towers can be had from now; or one sentence about why from nothing. */
export async function findTowers(
  model: InstalledModel,
  precision: Precision = "fp32",
): Promise<FoundTowers | { readonly unavailable: string }> {
  const { architecture, fault, onnxExport } = model;
  const weights = servedWeights(model);
  if (fault !== undefined) return { unavailable: `The model is not served: ${fault.fault}.` };
  if (weights === undefined) {
    return { unavailable: "No SHA-256 of its published weights is known here." };
  }
  const { bytes, sha256, folder, files } = weights;
  const there = await findServedWeights(model);
  const int8 = precision === "int8" ? await hostInt8() : undefined;
  const isPrepared = await isMade(
    [files, ...(int8 === undefined ? [] : [int8FilesOf(folder, int8)])],
    (one) => preparedState(one, architecture, sha256),
  );
  const damaged = isPrepared ? undefined : await damagedElsewhere(there, weights);
  const path = damaged === undefined ? there : undefined;
  const isPairServed = path === undefined && !isPrepared && int8 === undefined;
  if (isPairServed && onnxExport !== undefined && (await hasExport(model))) {
    const { image, text } = onnxExport;
    const from = { kind: "onnx", files: onnxExport.files, image, text, architecture } as const;
    return { folder: onnxExport.folder, from };
  }
  const from = { kind: "weights", path, bytes, sha256, architecture } as const;
  return {
    folder,
    from,
    ...(int8 === undefined ? {} : { int8 }),
    ...(damaged === undefined ? {} : { damaged }),
  };
}

/** Whether all of some towers are here, as far as can be told without reading them. */
async function isMade(
  all: readonly TowerFiles[],
  stateOf: (files: TowerFiles) => Promise<PreparedState>,
): Promise<boolean> {
  const states = await Promise.all(all.map(stateOf));
  return states.every((state) => state === "complete" || state === "changed");
}

/** The int8 arithmetic of this host's processor. */
export async function hostInt8(): Promise<Int8Arithmetic> {
  return int8ArithmeticFor(process.arch, await cpuFeatures());
}

/** Of a file in the user's Hugging Face cache, which is theirs to mend: one that lies in our own place is told of. */
async function damagedElsewhere(
  path: string | undefined,
  weights: InstalledWeights,
): Promise<string | undefined> {
  if (path === undefined || path === weights.target) return undefined;
  const fault = await weightsFault(path, weights).catch(unreadableFault);
  return fault && `In the Hugging Face cache ${fault}: it is not used.`;
}

/** Only what was published can be downloaded, and only where nothing is pinned in its place. */
function downloadOf(model: InstalledModel, hub: Hub): WeightsSupply["download"] {
  const source = knownSource(model);
  const { published, pinned, fault } = model;
  if (source === undefined || published === undefined) return undefined;
  if (pinned !== undefined || fault !== undefined) return undefined;
  const { bytes } = source;
  // What is written from the weights takes as much room again.
  const pull: Pull = (terms) =>
    hub.pull(source, published.target, { ...terms, bytesBeside: bytes });
  return { bytes, pull };
}

function mendOf({ id, fault, pinned, published }: InstalledModel): string {
  if (fault !== undefined) return fault.mend.charAt(0).toUpperCase() + fault.mend.slice(1);
  if (pinned !== undefined) {
    return `Import them again with "imagesvc models import DIR --sha256 ${pinned.sha256} --model ${id}", or go back to the published ones with "imagesvc models remove ${id}"`;
  }
  return published === undefined
    ? `Pin your own file with "imagesvc models import DIR --sha256 HEX --model ${id}"`
    : `Get them with "imagesvc models pull ${id}", or from elsewhere with "imagesvc models import DIR"`;
}

/** Makes the supply of a stand-in, which is made on the host. */
export function createSyntheticSupply(
  modelsDir: string,
  id: string,
  architecture: ClipArchitecture,
  precision: Precision = "fp32",
): WeightsSupply {
  const folder = syntheticFolder(preparedFolderIn(modelsDir), id);
  return {
    exactId: exactId(id, "synthetic", precision),
    textId: exactId(id, "synthetic", "fp32"),
    isSynthetic: true,
    download: undefined,
    mend: "Look into the log",
    find: async () => ({
      folder,
      from: { kind: "seed", architecture },
      ...(precision === "int8" ? { int8: await hostInt8() } : {}),
    }),
    findFault: async () => undefined,
  };
}
