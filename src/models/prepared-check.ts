/** Compares what was written from weights with what would be written now. */
import { createHash } from "node:crypto";
import { closeSync, openSync, readSync } from "node:fs";
import { readFile, stat } from "node:fs/promises";
import { basename, dirname } from "node:path";
import { type CheckedFiles, looksUnchanged, readCheckedFiles } from "./checked-files.ts";
import type { ClipArchitecture } from "./onnx/architecture.ts";
import { placeWeights } from "./onnx/external-data.ts";
import type { Graph } from "./onnx/graph.ts";
import { imageTower } from "./onnx/image-tower.ts";
import { encodeModel } from "./onnx/model-proto.ts";
import type { TensorSource } from "./onnx/tensor-source.ts";
import { textTower } from "./onnx/text-tower.ts";
import type { TowerFiles } from "./prepared.ts";

/**
 * What of a prepared model is on this host. `changed`: nothing says that its tensors are still those that
 * were written from these weights.
 */
export type PreparedState = "missing" | "incomplete" | "changed" | "complete";

/** What the record of a prepared model calls the weights that it was written from. */
export const weightsEntry = "weights";

/**
 * Looks whether the towers of a folder are there, with today's graph and unchanged tensors; reads no tensors.
 *
 * @param sha256 digest of the weights that they must have been written from; undefined for the synthetic ones.
 */
export async function preparedState(
  files: TowerFiles,
  architecture: ClipArchitecture,
  sha256: string | undefined,
): Promise<PreparedState> {
  const states = await Promise.all(
    towersOf(files, architecture).map(([path, graph]) => towerState(path, graph)),
  );
  if (states.every((state) => state === "missing")) return "missing";
  if (states.some((state) => state !== "complete")) return "incomplete";
  const record = await readCheckedFiles(dirname(files.imageTower));
  if (!isFrom(record, sha256)) return "changed";
  const areUnchanged = await Promise.all(
    preparedPathsOf(files).map((path) => looksUnchanged(path, record[basename(path)])),
  );
  return areUnchanged.every(Boolean) ? "complete" : "changed";
}

/** Whether a prepared model's record says that it was written from these weights. */
export function isFrom(record: CheckedFiles, sha256: string | undefined): boolean {
  return record[weightsEntry]?.sha256 === sha256;
}

/** Bytes that writing them anew takes on their disk: each replaces an earlier one once it is whole. */
export async function bytesToWrite(
  files: TowerFiles,
  architecture: ClipArchitecture,
): Promise<number> {
  let held = 0;
  let most = 0;
  for (const [path, graph] of towersOf(files, architecture)) {
    const { totalBytes } = placeWeights(graph);
    const earlier = await stat(`${path}.data`).catch(() => undefined);
    most = Math.max(most, held + totalBytes);
    held += totalBytes - (earlier?.size ?? 0);
  }
  return most;
}

/** All files of a prepared model, which its folder's record names: of each tower the graph, and the tensors. */
export function preparedPathsOf(files: TowerFiles): readonly string[] {
  const towers = "textTower" in files ? [files.imageTower, files.textTower] : [files.imageTower];
  return towers.flatMap((path) => [path, `${path}.data`]);
}

/** SHA-256 of the graphs that would be written now, by the names of their files: no record needs to be trusted for them. */
export function graphDigests(
  files: TowerFiles,
  architecture: ClipArchitecture,
): Readonly<Record<string, string>> {
  const entries = towersOf(files, architecture).map(([path, graph]) => {
    const digest = createHash("sha256").update(encodeTower(path, graph)).digest("hex");
    return [basename(path), digest] as const;
  });
  return Object.fromEntries(entries);
}

/**
 * Compares every tensor of the towers, byte by byte.
 *
 * @returns the name of the first that differs, or undefined.
 * @throws Error of the file system or of the source.
 */
export function findOtherTensor(
  files: TowerFiles,
  architecture: ClipArchitecture,
  tensors: TensorSource,
): string | undefined {
  for (const [path, graph] of towersOf(files, architecture)) {
    const descriptor = openSync(`${path}.data`, "r");
    try {
      for (const { weight, offset, bytes } of placeWeights(graph).placed) {
        const { buffer, byteOffset } = weight.read(tensors);
        const expected = Buffer.from(buffer, byteOffset, bytes);
        const written = Buffer.alloc(bytes);
        const read = readSync(descriptor, written, 0, bytes, offset);
        if (read !== bytes || !written.equals(expected)) return `${basename(path)}: ${weight.name}`;
      }
    } finally {
      closeSync(descriptor);
    }
  }
  return undefined;
}

/** What is written where. */
export function towersOf(
  files: TowerFiles,
  architecture: ClipArchitecture,
): readonly (readonly [path: string, graph: Graph])[] {
  if ("arithmetic" in files) {
    return [[files.imageTower, imageTower(architecture, files.arithmetic)]];
  }
  return [
    [files.imageTower, imageTower(architecture)],
    [files.textTower, textTower(architecture)],
  ];
}

function encodeTower(path: string, graph: Graph): Uint8Array {
  return encodeModel(graph, basename(`${path}.data`));
}

/** Looks whether one tower is there; reads no tensors. */
async function towerState(path: string, graph: Graph): Promise<PreparedState> {
  const [proto, data] = await Promise.all([
    readFile(path).catch(() => undefined),
    stat(`${path}.data`).catch(() => undefined),
  ]);
  if (proto === undefined && data === undefined) return "missing";
  const isWhole =
    proto?.equals(encodeTower(path, graph)) === true &&
    data?.size === placeWeights(graph).totalBytes;
  return isWhole ? "complete" : "incomplete";
}
