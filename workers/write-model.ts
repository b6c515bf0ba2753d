import { randomUUID } from "node:crypto";
import { open, rename, rm } from "node:fs/promises";
import { basename, dirname } from "node:path";
import type { ClipArchitecture } from "../src/models/onnx/architecture.ts";
import { placeWeights } from "../src/models/onnx/external-data.ts";
import type { Graph } from "../src/models/onnx/graph.ts";
import { encodeModel } from "../src/models/onnx/model-proto.ts";
import type { TensorSource } from "../src/models/onnx/tensor-source.ts";
import type { TowerFiles } from "../src/models/prepared.ts";
import { towersOf } from "../src/models/prepared-check.ts";
import { syncFolder } from "../src/native/sync-folder.ts";

/**
 * Writes the towers of a folder around the tensors of one source, one tensor in memory at a time. What is there is
 * replaced, file by file, so that whoever has it open goes on with it.
 *
 * @param files paths in folders that exist.
 * @throws Error of the file system, or of the source if it lacks a tensor; nothing half-written stays
 *   under a final name.
 */
export async function writeModel(
  files: TowerFiles,
  architecture: ClipArchitecture,
  tensors: TensorSource,
): Promise<void> {
  for (const [path, graph] of towersOf(files, architecture)) {
    await writeGraph(path, graph, tensors);
  }
}

/** Writes one graph; its tensors lie beside it, with `.data` appended. As `writeModel` writes a tower. */
export async function writeGraph(path: string, graph: Graph, tensors: TensorSource): Promise<void> {
  const dataPath = `${path}.data`;
  const proto = encodeModel(graph, basename(dataPath));
  const { placed } = placeWeights(graph);

  // The protobuf comes last: where it lies under its name, the tensors do too.
  await writeWhole(dataPath, async (write) => {
    for (const { weight, offset } of placed) await write(asBytes(weight.read(tensors)), offset);
  });
  await writeWhole(path, (write) => write(proto, 0));
}

type Write = (bytes: Uint8Array, offset: number) => Promise<void>;

/** Writes a file under another name, and gives it its own once it is whole and on the disk. */
async function writeWhole(path: string, fill: (write: Write) => Promise<void>): Promise<void> {
  const temporary = `${path}.${randomUUID()}.tmp`;
  try {
    // Sessions map the file: who cut it short or wrote into it would end or falsify every service that runs it.
    const file = await open(temporary, "wx", 0o444);
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

function asBytes(values: ArrayBufferView<ArrayBuffer>): Uint8Array<ArrayBuffer> {
  return new Uint8Array(values.buffer, values.byteOffset, values.byteLength);
}
