/** How the weights of a model get onto this host while the service runs. */
import type { ModelToWrite } from "../backends/protocol.ts";
import { knownSource } from "./catalog.ts";
import { unreadableFault } from "./folder-fault.ts";
import type { Hub } from "./hub.ts";
import type { DownloadTerms, PullFailure } from "./hub-download.ts";
import {
  exactIdOf,
  findServedWeights,
  hasExport,
  type InstalledModel,
  type InstalledWeights,
  servedWeights,
  wrongFile,
} from "./installed-model.ts";
import type { ClipArchitecture } from "./onnx/architecture.ts";
import { preparedFolderIn, syntheticFolder } from "./prepared.ts";
import { preparedState } from "./prepared-check.ts";
import { weightsFault } from "./weights.ts";

/** The weights of one model. */
export interface WeightsSupply {
  /** What names exactly these weights of the model, such as `clip-ViT-B-32@synthetic`. */
  readonly exactId: string;
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
export function createWeightsSupply(model: InstalledModel, hub: Hub): WeightsSupply {
  let damaged: string | undefined;
  return {
    exactId: exactIdOf(model),
    isSynthetic: false,
    download: downloadOf(model, hub),
    mend: mendOf(model),
    find: async () => {
      const found = await findTowers(model);
      damaged = "damaged" in found ? found.damaged : undefined;
      return found;
    },
    findFault: async () => {
      if (damaged !== undefined) return damaged;
      const fault = await wrongFile(model);
      return fault && `${fault}: copy it again.`;
    },
  };
}

/** What a model's towers can be had from now. */
export interface FoundTowers extends ModelToWrite {
  /** One sentence about a file that was passed over: not ours, of the right length, and another. */
  readonly damaged?: string;
}

/** What a model's towers can be had from now; or one sentence about why from nothing. */
export async function findTowers(
  model: InstalledModel,
): Promise<FoundTowers | { readonly unavailable: string }> {
  const { architecture, fault, onnxExport } = model;
  const weights = servedWeights(model);
  if (fault !== undefined) return { unavailable: `The model is not served: ${fault.fault}.` };
  if (weights === undefined) {
    return { unavailable: "No SHA-256 of its published weights is known here." };
  }
  const { bytes, sha256, folder, files } = weights;
  const there = await findServedWeights(model);
  const isPrepared = ["complete", "changed"].includes(
    await preparedState(files, architecture, sha256),
  );
  const damaged = isPrepared ? undefined : await damagedElsewhere(there, weights);
  const path = damaged === undefined ? there : undefined;
  if (path === undefined && !isPrepared && onnxExport !== undefined && (await hasExport(model))) {
    const { image, text } = onnxExport;
    const from = { kind: "onnx", files: onnxExport.files, image, text, architecture } as const;
    return { folder: onnxExport.folder, from };
  }
  const from = { kind: "weights", path, bytes, sha256, architecture } as const;
  return { folder, from, ...(damaged === undefined ? {} : { damaged }) };
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
): WeightsSupply {
  const folder = syntheticFolder(preparedFolderIn(modelsDir), id);
  return {
    exactId: `${id}@synthetic`,
    isSynthetic: true,
    download: undefined,
    mend: "Look into the log",
    find: async () => ({ folder, from: { kind: "seed", architecture } }),
    findFault: async () => undefined,
  };
}
