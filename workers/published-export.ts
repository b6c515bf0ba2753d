/** A published pair of ONNX files, which is served as it stands. */
import { existsSync } from "node:fs";
import { basename } from "node:path";
import type { TowerSource, WrittenModel } from "../src/backends/protocol.ts";
import {
  type CheckedFile,
  checkFile,
  type FileFacts,
  looksUnchanged,
  readCheckedFiles,
  writeCheckedFiles,
} from "../src/models/checked-files.ts";
import { runTowers } from "./run-towers.ts";

type Export = Extract<TowerSource, { kind: "onnx" }>;

/**
 * Checks both files by their SHA-256 and runs both graphs once, unless that was done and they look
 * unchanged.
 *
 * @param folder of the record.
 * @returns one sentence where they are not what they should be.
 * @throws Error of the file system.
 */
export async function checkExport(folder: string, from: Export): Promise<WrittenModel> {
  const { imageTower, textTower } = from.files;
  const towers: readonly (readonly [string, FileFacts])[] = [
    [imageTower, from.image],
    [textTower, from.text],
  ];
  const record = await readCheckedFiles(folder);
  const checked: Record<string, CheckedFile> = {};
  for (const [path, { sha256 }] of towers) {
    const name = basename(path);
    // A worker takes nothing beside a checked file for its tensors that was not checked.
    if (existsSync(`${path}.data`)) {
      return { unavailable: `${name}.data does not belong to the published pair: delete it.` };
    }
    const known = record[name];
    if (known?.sha256 === sha256 && (await looksUnchanged(path, known))) continue;
    const now = await checkFile(path);
    if (now.sha256 !== sha256) {
      return {
        unavailable: `${name} is not the published file: take it again with "imagesvc models import DIR".`,
      };
    }
    checked[name] = now;
  }
  if (Object.keys(checked).length === 0) return from.files;
  const fault = await faultOf(from);
  if (fault !== undefined) return { unavailable: fault };
  await writeCheckedFiles(folder, { ...record, ...checked });
  return from.files;
}

/** @returns what a graph lacks or does wrong, in one sentence. */
async function faultOf({ files, architecture }: Export): Promise<string | undefined> {
  const run = await runTowers(files, architecture);
  if ("fault" in run) return run.fault;
  return isUnitLength(run.imageVector)
    ? "The model cannot be used: the image tower gives vectors of unit length, and the reference's are not."
    : undefined;
}

/** Exports of the same weights exist that normalise: nobody could tell from the outside that length was lost. */
function isUnitLength(vector: Float32Array): boolean {
  return Math.abs(Math.hypot(...vector) - 1) < 1e-3;
}
