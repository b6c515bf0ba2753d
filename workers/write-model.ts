import { randomUUID } from "node:crypto";
import { mkdir, open, readFile, rename, rm, stat } from "node:fs/promises";
import { basename, dirname, join } from "node:path";
import { type ClipArchitecture, clipVitB32 } from "../src/models/onnx/architecture.ts";
import { placeWeights } from "../src/models/onnx/external-data.ts";
import type { Graph } from "../src/models/onnx/graph.ts";
import { imageTower } from "../src/models/onnx/image-tower.ts";
import { encodeModel } from "../src/models/onnx/model-proto.ts";
import type { TensorSource } from "../src/models/onnx/tensor-source.ts";
import { textTower } from "../src/models/onnx/text-tower.ts";
import { seededTensors } from "../src/models/seeded-tensors.ts";

/** Paths of a model's two ONNX files; each has its tensors beside it, in a file with `.data` appended. */
export interface ModelFiles {
  readonly imageTower: string;
  readonly textTower: string;
}

/** Where the two towers of a model lie in its folder. */
export function modelFilesIn(folder: string): ModelFiles {
  return { imageTower: join(folder, "image.onnx"), textTower: join(folder, "text.onnx") };
}

/** Goes into the folder's name: to be raised whenever the graph's or the tensors' bytes change. */
const SYNTHETIC_VERSION = 1;

/**
 * Makes the synthetic stand-in of CLIP ViT-B/32, unless it is there already: 605 MB, seconds.
 *
 * @param directory folder of the models; it is made where it is missing.
 * @throws Error of the file system, such as a full disk; nothing half-written stays under a final name.
 */
export async function writeSyntheticModel(directory: string): Promise<ModelFiles> {
  const folder = join(directory, `clip-vit-b-32-synthetic-v${SYNTHETIC_VERSION}`);
  const files = modelFilesIn(folder);
  await mkdir(folder, { recursive: true });
  await writeModel(files, clipVitB32, seededTensors("imagesvc"));
  return files;
}

/**
 * Writes both towers around the tensors of one source, one tensor in memory at a time. A tower that is
 * there already, complete and with the same graph, is kept, so two writers at once do no harm.
 *
 * @param files paths in folders that exist.
 * @throws Error of the file system, or of the source if it lacks a tensor.
 */
export async function writeModel(
  files: ModelFiles,
  architecture: ClipArchitecture,
  tensors: TensorSource,
): Promise<void> {
  await writeTower(files.imageTower, imageTower(architecture), tensors);
  await writeTower(files.textTower, textTower(architecture), tensors);
}

/** Whether both towers are there, complete and with the graph that would be written now. */
export async function isWritten(
  files: ModelFiles,
  architecture: ClipArchitecture,
): Promise<boolean> {
  const towers = [
    [files.imageTower, imageTower(architecture)],
    [files.textTower, textTower(architecture)],
  ] as const;
  const found = await Promise.all(
    towers.map(([path, graph]) => {
      const proto = encodeModel(graph, basename(`${path}.data`));
      return isComplete(path, proto, placeWeights(graph).totalBytes);
    }),
  );
  return found.every(Boolean);
}

async function writeTower(path: string, graph: Graph, tensors: TensorSource): Promise<void> {
  const dataPath = `${path}.data`;
  const proto = encodeModel(graph, basename(dataPath));
  const { placed, totalBytes } = placeWeights(graph);
  if (await isComplete(path, proto, totalBytes)) return;

  // The protobuf comes last: where it lies under its name, the tensors do too.
  await writeWhole(dataPath, async (write) => {
    for (const { weight, offset } of placed) await write(asBytes(weight.read(tensors)), offset);
  });
  await writeWhole(path, (write) => write(proto, 0));
}

async function isComplete(path: string, proto: Uint8Array, dataBytes: number): Promise<boolean> {
  try {
    const [written, data] = await Promise.all([readFile(path), stat(`${path}.data`)]);
    return written.equals(proto) && data.size === dataBytes;
  } catch {
    return false;
  }
}

type Write = (bytes: Uint8Array, offset: number) => Promise<void>;

/** Writes a file under another name, and gives it its own once it is whole and on the disk. */
async function writeWhole(path: string, fill: (write: Write) => Promise<void>): Promise<void> {
  const temporary = `${path}.${randomUUID()}.tmp`;
  try {
    const file = await open(temporary, "wx");
    try {
      await fill(async (bytes, offset) => {
        for (let done = 0; done < bytes.byteLength; ) {
          const { bytesWritten } = await file.write(
            bytes,
            done,
            bytes.byteLength - done,
            offset + done,
          );
          done += bytesWritten;
        }
      });
      await file.sync();
    } finally {
      await file.close();
    }
    await rename(temporary, path);
    await syncFolder(dirname(path));
  } catch (error) {
    await rm(temporary, { force: true });
    throw error;
  }
}

/** Makes a rename outlast a power cut. */
async function syncFolder(path: string): Promise<void> {
  const folder = await open(path, "r");
  try {
    await folder.sync();
  } finally {
    await folder.close();
  }
}

function asBytes(values: Float32Array<ArrayBuffer>): Uint8Array<ArrayBuffer> {
  return new Uint8Array(values.buffer, values.byteOffset, values.byteLength);
}
