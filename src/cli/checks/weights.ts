/** The weights of the model that runs on this host. */
import type { Config } from "../../config.ts";
import { hasExport, type InstalledModel, servedWeights } from "../../models/installed-model.ts";
import {
  int8FilesOf,
  modelFilesIn,
  preparedFolderIn,
  syntheticFolder,
} from "../../models/prepared.ts";
import { type PreparedState, preparedState } from "../../models/prepared-check.ts";
import { weightsFault } from "../../models/weights.ts";
import { hostInt8 } from "../../models/weights-supply.ts";
import { type Check, fail, ok, warn } from "./check.ts";

export interface WeightsOptions {
  readonly config: Pick<Config, "CLIP_WEIGHTS" | "CLIP_PRECISION" | "HF_HUB_OFFLINE">;
  readonly model: InstalledModel;
  /** The file of the weights that are served, wherever it is found, of whatever length; undefined where there is none. */
  readonly findFile: () => Promise<string | undefined>;
  /** Hears how many bytes were hashed so far. */
  readonly onRead: (bytes: number) => void;
}

/** 605 MB are read, or 1.7 GB. */
const hashTimeoutMs = 240_000;

export function weightsCheck(options: WeightsOptions): Check {
  const { config, model } = options;
  return {
    name: "weights",
    timeoutMs: hashTimeoutMs,
    run: async (signal) => {
      if (config.CLIP_WEIGHTS === "synthetic") {
        return warn("synthetic: vectors mean nothing", "unset CLIP_WEIGHTS for the published ones");
      }
      if (model.fault !== undefined) {
        return fail(model.fault.fault, model.fault.mend);
      }
      const weights = servedWeights(model);
      const path = await options.findFile();
      if (weights === undefined || path === undefined) return await missing(options);
      const fault = await weightsFault(path, weights, { signal, onRead: options.onRead });
      if (fault !== undefined) {
        return fail(fault, "copy it again, or delete it and run imagesvc models pull");
      }
      return ok(`${path} is the ${model.pinned === undefined ? "published" : "pinned"} file`);
    },
  };
}

async function missing(options: WeightsOptions) {
  const { config, model } = options;
  const { id, pinned, published } = model;
  if ((await stateOf(options)) === "complete") {
    return ok("not there, and not needed: all is prepared");
  }
  if (await hasExport(model)) {
    return config.CLIP_PRECISION === "fp32"
      ? ok("the published ONNX pair is there, and served as it stands")
      : fail(
          "only the published ONNX pair is there, and CLIP_PRECISION=int8 is made from the weights",
          `imagesvc models pull ${id}, or CLIP_PRECISION=fp32`,
        );
  }
  if (pinned !== undefined) {
    return fail(
      "the pinned ones are not there",
      `imagesvc models import DIR --sha256 ${pinned.sha256} --model ${id}`,
    );
  }
  if (published === undefined) {
    return fail(
      "no SHA-256 of published ones is known",
      `imagesvc models import DIR --sha256 HEX --model ${id}`,
    );
  }
  return config.HF_HUB_OFFLINE
    ? fail("not there, and HF_HUB_OFFLINE forbids to download", "imagesvc models import DIR")
    : warn("not there: they are downloaded at the first start", "imagesvc models pull does it now");
}

export function preparedModelCheck(options: WeightsOptions): Check {
  return {
    name: "prepared model",
    run: async () => {
      switch (await stateOf(options)) {
        case "complete":
          return ok("complete");
        case "missing":
          return (await isServedAsItStands(options))
            ? ok("not needed: the ONNX pair is served as it stands")
            : ok("will be made at the first start");
        case "changed":
          return warn("changed since it was made", "nothing to do: the next start checks it");
        default:
          return warn("incomplete", "nothing to do: the next start makes it again");
      }
    },
  };
}

/** Bytes that a start still puts into the models folder: what is prepared is as large as the weights. */
export async function missingModelBytes(options: WeightsOptions): Promise<number> {
  const { config, model, findFile } = options;
  const isPrepared = ["complete", "changed"].includes(await stateOf(options));
  if (isPrepared || (await isServedAsItStands(options))) return 0;
  const bytes = servedWeights(model)?.bytes ?? 0;
  const isThere = config.CLIP_WEIGHTS === "synthetic" || (await findFile()) !== undefined;
  return (isThere ? 1 : 2) * bytes;
}

async function isServedAsItStands({ config, model, findFile }: WeightsOptions): Promise<boolean> {
  if (config.CLIP_PRECISION === "int8") return false;
  if (config.CLIP_WEIGHTS === "synthetic" || (await findFile()) !== undefined) return false;
  return await hasExport(model);
}

/** Of all that is served: the worse one's where there is an int8 image tower too. */
async function stateOf({ config, model }: WeightsOptions): Promise<PreparedState> {
  const { id, modelsDir, architecture } = model;
  const weights = servedWeights(model);
  const isSynthetic = config.CLIP_WEIGHTS === "synthetic";
  const folder = isSynthetic ? syntheticFolder(preparedFolderIn(modelsDir), id) : weights?.folder;
  if (folder === undefined) return "missing";
  const sha256 = isSynthetic ? undefined : weights?.sha256;
  const state = await preparedState(modelFilesIn(folder), architecture, sha256);
  if (config.CLIP_PRECISION === "fp32" || state !== "complete") return state;
  return await preparedState(int8FilesOf(folder, await hostInt8()), architecture, sha256);
}
