/**
 * Where a model's packed towers lie: the same towers, optimised by onnxruntime, with their weights a second time in
 * the order in which this host's processor reads them. Sessions map these weights, and so share them.
 */
import { createHash } from "node:crypto";
import { basename, dirname, join } from "node:path";
import { dependencies } from "../../package.json" with { type: "json" };
import { cpuFeatures } from "../native/cpu-features.ts";
import { digestFile, looksUnchanged, readCheckedFiles } from "./checked-files.ts";
import { modelFilesIn, type TowerFiles } from "./prepared.ts";

/** What decides in which order weights are packed: on another host nothing of it is of use. */
export interface PackingHost {
  /** Version of onnxruntime. */
  readonly onnxruntime: string;
  /** As Node.js spells it. */
  readonly arch: string;
  /** As `cpuFeatures` gives them. */
  readonly features: readonly string[];
}

/** What of packed towers is here. `changed`: a file looks other than when it was made. */
export type PackedState = "missing" | "changed" | "complete";

const namePrefix = "packed-";
const digestDigits = 16;

/** This host. */
export async function thisPackingHost(): Promise<PackingHost> {
  const onnxruntime = dependencies["onnxruntime-node"];
  return { onnxruntime, arch: process.arch, features: await cpuFeatures() };
}

/**
 * Folder of what is packed of one folder's towers for a host. Its name holds a digest of the towers' bytes and of the host:
 * where one of them is another, so is the folder.
 *
 * @param towers whose bytes are those that their folder's record names.
 * @throws Error of the file system, or where there is no such record.
 */
export async function packedFolder(towers: TowerFiles, host: PackingHost): Promise<string> {
  const folder = dirname(towers.imageTower);
  const of = [await digestsOf(towers.imageTower)];
  if ("textTower" in towers) of.push(await digestsOf(towers.textTower));
  const digest = createHash("sha256")
    .update(JSON.stringify([host, of]))
    .digest("hex");
  const name = `${namePrefix}${host.onnxruntime}-${digest.slice(0, digestDigits)}`;
  return join(folder, name);
}

/** Whether a name is that of packed towers, whole or half-made, for whichever host. */
export function isPackedName(name: string): boolean {
  return name.startsWith(namePrefix);
}

/** Looks what of packed towers is in a folder; reads none of them. */
export async function packedState(folder: string): Promise<PackedState> {
  const record = await readCheckedFiles(folder);
  // The record names all of them, or is not there.
  if (record[basename(modelFilesIn(folder).imageTower)] === undefined) return "missing";
  const areUnchanged = await Promise.all(
    Object.entries(record).map(([name, checked]) => looksUnchanged(join(folder, name), checked)),
  );
  return areUnchanged.every(Boolean) ? "complete" : "changed";
}

/** What of some towers' packed ones is here for this host; reads none of them. */
export async function packedStateOf(towers: TowerFiles): Promise<PackedState> {
  const folder = await packedFolder(towers, await thisPackingHost()).catch(() => undefined);
  return folder === undefined ? "missing" : await packedState(folder);
}

/**
 * SHA-256 of a tower's graph and of its tensors, in one file or two; only a graph is read for it.
 *
 * @throws Error where nobody has recorded a digest.
 */
async function digestsOf(tower: string): Promise<readonly string[]> {
  const record = await readCheckedFiles(dirname(tower));
  const graph = record[basename(tower)];
  const tensors = record[basename(`${tower}.data`)];
  if (tensors !== undefined) return [graph?.sha256 ?? (await digestFile(tower)), tensors.sha256];
  if (graph === undefined) throw new Error("what it looked like could not be recorded");
  return [graph.sha256];
}
