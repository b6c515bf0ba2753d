/** The model that runs, written from weights that a command has brought here: so no start has to do it. */
import type { Worker } from "../backends/pool.ts";
import type { Answers, ModelToWrite } from "../backends/protocol.ts";
import { messageOf } from "../errors.ts";
import { modelsFolderFault } from "../models/folder-fault.ts";
import { exactIdOf, type InstalledModel, servedWeights } from "../models/installed-model.ts";
import { packedStateOf } from "../models/packed.ts";
import { int8FilesOf, type TowerFiles } from "../models/prepared.ts";
import { preparedState } from "../models/prepared-check.ts";
import { findTowers } from "../models/weights-supply.ts";
import type { CommandCall } from "./command-call.ts";

/** Starts a worker that holds no model. @throws Error with one sentence where native libraries cannot be loaded. */
export type StartWorker = () => Worker;

type Call = Pick<CommandCall, "config" | "interrupted" | "tell">;

/**
 * Writes what a start of the service would write from the weights that it serves, unless it is here: with the
 * same lock, and only where the disk has room. A host that cannot do it now does it at the first start.
 *
 * @returns the exit code.
 * @throws the reason of `interrupted`; nothing half-written stays then.
 */
export async function writeServedModel(
  call: Call,
  model: InstalledModel,
  startWorker: StartWorker,
): Promise<number> {
  const found = await findTowers(model, call.config.CLIP_PRECISION);
  if ("unavailable" in found) return fail(call, model, found.unavailable);
  if (await isWritten(model, found)) return succeed(call, model, found);
  const worker = await openWorker(call, startWorker);
  if (worker === undefined) return 0;
  try {
    call.tell(
      "writing the model that runs, which takes up to three times as much space as the weights",
    );
    const written = await write(worker, found, call.interrupted);
    if ("unavailable" in written) return fail(call, model, written.unavailable);
    if (written.warning !== undefined) call.tell(`imagesvc: ${written.warning}`);
    return succeed(call, model, found);
  } catch (error) {
    call.interrupted.throwIfAborted();
    return fail(call, model, modelsFolderFault(error) ?? `${messageOf(error)}.`);
  } finally {
    await worker.close();
  }
}

/** Whether all that a start would make is here: the towers, unless a published pair is served, and the packed ones. */
async function isWritten(
  model: InstalledModel,
  { folder, from, int8 }: ModelToWrite,
): Promise<boolean> {
  if (from.kind === "onnx") return (await packedStateOf(from.files)) === "complete";
  const weights = servedWeights(model);
  if (weights === undefined) return false;
  const all: TowerFiles[] = [weights.files];
  if (int8 !== undefined) all.push(int8FilesOf(folder, int8));
  for (const files of all) {
    const state = await preparedState(files, model.architecture, weights.sha256);
    if (state !== "complete" || (await packedStateOf(files)) !== "complete") return false;
  }
  return true;
}

/** Undefined after it was said that no worker runs on this host. */
async function openWorker({ tell }: Call, startWorker: StartWorker): Promise<Worker | undefined> {
  let worker: Worker | undefined;
  try {
    worker = startWorker();
    await worker.run({ kind: "ping" });
    return worker;
  } catch (error) {
    await worker?.close();
    const [why] = messageOf(error).split("\n");
    tell(`the model that runs is written at the first start of the service, not now: ${why}`);
    return undefined;
  }
}

async function write(
  worker: Worker,
  model: ModelToWrite,
  interrupted: AbortSignal,
): Promise<Answers["write-model"]> {
  interrupted.throwIfAborted();
  const stop = new Int32Array(new SharedArrayBuffer(Int32Array.BYTES_PER_ELEMENT));
  const raise = () => void Atomics.store(stop, 0, 1);
  interrupted.addEventListener("abort", raise, { once: true });
  try {
    return await worker.run({ kind: "write-model", model, stop });
  } finally {
    interrupted.removeEventListener("abort", raise);
  }
}

function succeed({ tell }: Call, model: InstalledModel, { folder }: ModelToWrite): number {
  tell(`${exactIdOf(model)} is ready: the model that runs is in ${folder}`);
  return 0;
}

function fail({ tell }: Call, model: InstalledModel, sentence: string): number {
  tell(`imagesvc: of ${exactIdOf(model)} the weights are here, but not what runs: ${sentence}`);
  return 1;
}
