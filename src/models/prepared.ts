/** Where a model that was written from weights lies. */
import { join } from "node:path";

/** Paths of a model's two ONNX files. */
export interface ModelFiles {
  readonly imageTower: string;
  readonly textTower: string;
}

/** Where the two towers of a model lie in its folder; each has its tensors beside it, in a file with `.data` appended. */
export function modelFilesIn(folder: string): ModelFiles {
  return { imageTower: join(folder, "image.onnx"), textTower: join(folder, "text.onnx") };
}

/** Both go into a folder's name: to be raised whenever the graph's or the tensors' bytes change. */
const SYNTHETIC_VERSION = 1;
const GRAPH_VERSION = 1;

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
  return name.startsWith(prefix) && /^[0-9a-f]{8}-v\d+$/.test(name.slice(prefix.length));
}

/** Folder of the synthetic stand-in. */
export function syntheticFolder(directory: string, id: string): string {
  return join(directory, `${id.toLowerCase()}-synthetic-v${SYNTHETIC_VERSION}`);
}

/** The first eight digits: what operators and answers call weights by. */
export function shortDigest(sha256: string): string {
  return sha256.slice(0, 8);
}
