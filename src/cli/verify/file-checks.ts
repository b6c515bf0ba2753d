/** Whether the files of a model on this host are what was published, or what was written from it. */
import { join } from "node:path";
import { digestFile, readCheckedFiles } from "../../models/checked-files.ts";
import { unreadableFault } from "../../models/folder-fault.ts";
import {
  findServedWeights,
  hasExport,
  type InstalledModel,
  servedWeights,
  wrongFile,
} from "../../models/installed-model.ts";
import type { ClipArchitecture } from "../../models/onnx/architecture.ts";
import { packedFolder, packedState, thisPackingHost } from "../../models/packed.ts";
import { int8FilesOf, type TowerFiles } from "../../models/prepared.ts";
import { findOtherTensor, type PreparedState, preparedState } from "../../models/prepared-check.ts";
import { accessFile, parseSafetensors } from "../../models/safetensors.ts";
import { weightsFault } from "../../models/weights.ts";
import { hostInt8 } from "../../models/weights-supply.ts";
import type { CommandCall } from "../command-call.ts";
import type { Check } from "./check.ts";

type Interruptible = Pick<CommandCall, "interrupted">;

/** What can be known of a model's files without running it. */
export async function checkFiles(
  call: Interruptible,
  model: InstalledModel,
): Promise<readonly Check[]> {
  const { id } = model;
  const weights = await orUnreadable(`${id}, weights`, verifyWeights(call, model));
  const isRight = weights.verdict === "right";
  const path = isRight ? await findServedWeights(model) : undefined;
  const prepared = await orUnreadable(`${id}, prepared model`, verifyPrepared(model, path));
  const pair = await verifyExport(call, model).catch((error: unknown) => [
    unreadable(`${id}, ONNX pair`, error),
  ]);
  const towers = [prepared, ...pair].find(({ verdict }) => verdict === "right");
  const files = towers === prepared ? servedWeights(model)?.files : model.onnxExport?.files;
  const packed = towers && files && (await verifyPacked(call, `${id}, packed weights`, files));
  const int8 = await verifyInt8(call, model, path);
  return [weights, prepared, ...pair, ...(packed === undefined ? [] : [packed]), ...int8];
}

/** The image tower in int8, where it was made. */
async function verifyInt8(
  call: Interruptible,
  model: InstalledModel,
  path: string | undefined,
): Promise<readonly Check[]> {
  const { id, architecture } = model;
  const weights = servedWeights(model);
  const files = weights && int8FilesOf(weights.folder, await hostInt8());
  if (files === undefined) return [];
  const what = `${id}, prepared int8 image tower`;
  const state = await preparedState(files, architecture, weights?.sha256);
  if (state === "missing") return [];
  const prepared = await orUnreadable(what, verifyTowers(what, files, architecture, state, path));
  if (prepared.verdict !== "right") return [prepared];
  return [prepared, await verifyPacked(call, `${id}, packed int8 weights`, files)];
}

/** A check of files of which one may not be readable. */
async function orUnreadable(what: string, check: Promise<Check>): Promise<Check> {
  return await check.catch((error: unknown) => unreadable(what, error));
}

/** @throws an error that is not about reading a file. */
function unreadable(what: string, error: unknown): Check {
  return { what, verdict: "wrong", found: unreadableFault(error) };
}

async function verifyWeights(call: Interruptible, model: InstalledModel): Promise<Check> {
  const { id, fault, pinned } = model;
  const what = `${id}, weights`;
  if (fault !== undefined) {
    return { what, verdict: "wrong", found: `${fault.fault}: ${fault.mend}` };
  }
  const weights = servedWeights(model);
  const path = await findServedWeights(model);
  const again = pinned === undefined ? pullAgain(id) : "import it again";
  if (weights === undefined || path === undefined) {
    const wrong = await wrongFile(model);
    return wrong === undefined
      ? { what, verdict: "missing", found: "not on this host" }
      : { what, verdict: "wrong", found: `${wrong}: ${again}` };
  }
  const other = await weightsFault(path, weights, { signal: call.interrupted });
  if (other !== undefined) return { what, verdict: "wrong", found: `${other}: ${again}` };
  const own = pinned === undefined ? "" : ", pinned: there is no norm and no golden value to check";
  return { what, verdict: "right", found: `SHA-256 ${weights.sha256}${own}` };
}

/** @param path of the weights, where they are here and right. */
async function verifyPrepared(model: InstalledModel, path: string | undefined): Promise<Check> {
  const { id, architecture } = model;
  const what = `${id}, prepared model`;
  const weights = servedWeights(model);
  const state = weights && (await preparedState(weights.files, architecture, weights.sha256));
  if (weights === undefined || state === undefined || state === "missing") {
    return { what, verdict: "missing", found: "the next start of the service makes it" };
  }
  return await verifyTowers(what, weights.files, architecture, state, path);
}

/** @param state of towers that are not missing. */
async function verifyTowers(
  what: string,
  files: TowerFiles,
  architecture: ClipArchitecture,
  state: Exclude<PreparedState, "missing">,
  path: string | undefined,
): Promise<Check> {
  if (state === "incomplete") {
    const found = "another version's, or not whole: the next start makes it anew";
    return { what, verdict: "missing", found };
  }
  if (path === undefined) {
    const found = "its tensors can only be compared with the weights";
    return state === "complete"
      ? { what, verdict: "right", found: `unchanged since it was made; ${found}` }
      : { what, verdict: "missing", found: `changed: the next start checks it; ${found}` };
  }
  using file = accessFile(path);
  const other = findOtherTensor(files, architecture, parseSafetensors(file));
  if (other === undefined) return { what, verdict: "right", found: "every tensor is the weights'" };
  const mend = "the next start of the service makes it anew";
  return { what, verdict: "wrong", found: `${other} is not the weights': ${mend}` };
}

/** @param towers that are right. */
async function verifyPacked(
  { interrupted: signal }: Interruptible,
  what: string,
  towers: TowerFiles,
): Promise<Check> {
  const host = await thisPackingHost();
  const folder = await packedFolder(towers, host);
  if ((await packedState(folder)) === "missing") {
    return { what, verdict: "missing", found: "the next start of the service makes them" };
  }
  for (const [name, { sha256 }] of Object.entries(await readCheckedFiles(folder))) {
    const now = await digestFile(join(folder, name), { signal }).catch((error: unknown) => {
      signal.throwIfAborted();
      return String(error);
    });
    if (now === sha256) continue;
    const mend = "the next start of the service makes it anew";
    return { what, verdict: "wrong", found: `${name} changed since it was made: ${mend}` };
  }
  const made = `onnxruntime ${host.onnxruntime} made them for this processor`;
  return {
    what,
    verdict: "right",
    found: `unchanged since ${made} and they gave the same vectors`,
  };
}

/** The published pair, where somebody has taken it. */
async function verifyExport(call: Interruptible, model: InstalledModel): Promise<readonly Check[]> {
  const { id, onnxExport } = model;
  if (onnxExport === undefined || !(await hasExport(model))) return [];
  const { files, image, text } = onnxExport;
  const terms = { signal: call.interrupted };
  const fault =
    (await weightsFault(files.imageTower, image, terms)) ??
    (await weightsFault(files.textTower, text, terms));
  const what = `${id}, ONNX pair`;
  return [
    fault === undefined
      ? { what, verdict: "right", found: `SHA-256 ${image.sha256} and ${text.sha256}` }
      : { what, verdict: "wrong", found: `${fault}: import it again` },
  ];
}

function pullAgain(id: string): string {
  return `delete it, then imagesvc models pull ${id}`;
}
