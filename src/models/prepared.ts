/** Where a model that was written from weights lies. */
import { join } from "node:path";
import type { Int8Arithmetic } from "./onnx/arithmetic.ts";

/** Paths of a model's two ONNX files. */
export interface ModelFiles {
  readonly imageTower: string;
  readonly textTower: string;
}

/** The image tower of a model a second time, in another arithmetic. Its text tower is the model's own. */
export interface Int8Files {
  readonly imageTower: string;
  readonly arithmetic: Int8Arithmetic;
}

/** What one folder holds of a model. */
export type TowerFiles = ModelFiles | Int8Files;

/** Where the two towers of a model lie in its folder; each has its tensors beside it, in a file with `.data` appended. */
export function modelFilesIn(folder: string): ModelFiles {
  return { imageTower: join(folder, "image.onnx"), textTower: join(folder, "text.onnx") };
}

/** Both go into a folder's name: to be raised whenever the graph's or the tensors' bytes change. */
const SYNTHETIC_VERSION = 3;
const GRAPH_VERSION = 3;
/** Goes into the name of an int8 tower's folder, behind that of the model: to be raised for that tower alone. */
const INT8_VERSION = 5;

/** Folder of everything that is written from weights. */
export function preparedFolderIn(modelsDir: string): string {
  return join(modelsDir, "prepared");
}

/**
 * Folder of what is written from weights of a model: their digest in its name says from which.
 *
 * @param directory folder of everything that is prepared.
 * @param sha256 of the weights, lower-case hex.
 */
export function preparedFolder(directory: string, id: string, sha256: string): string {
  return join(directory, `${id.toLowerCase()}-${shortDigest(sha256)}-v${GRAPH_VERSION}`);
}

/** Whether a name is that of a folder that was written from weights of a model, whichever and by whatever version. */
export function isPreparedName(name: string, id: string): boolean {
  const prefix = `${id.toLowerCase()}-`;
  return (
    name.startsWith(prefix) &&
    /^[0-9a-f]{8}-v\d+(-int8(-7bit)?-v\d+)?$/.test(name.slice(prefix.length))
  );
}

/** Folder of the synthetic stand-in. */
export function syntheticFolder(directory: string, id: string): string {
  return join(directory, `${id.toLowerCase()}-synthetic-v${SYNTHETIC_VERSION}`);
}

/**
 * Folder of a model's int8 image tower.
 *
 * @param folder of the model that it belongs to.
 */
export function int8Folder(folder: string, arithmetic: Int8Arithmetic): string {
  return `${folder}-${arithmetic}-v${INT8_VERSION}`;
}

/** Where a model's int8 image tower lies, beside the folder of the model. */
export function int8FilesOf(folder: string, arithmetic: Int8Arithmetic): Int8Files {
  const { imageTower } = modelFilesIn(int8Folder(folder, arithmetic));
  return { imageTower, arithmetic };
}

/** The first eight digits: what operators and answers call weights by. */
export function shortDigest(sha256: string): string {
  return sha256.slice(0, 8);
}
