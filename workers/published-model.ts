/** The published weights, where somebody has put their file on this host: checked, then written as our graph. */
import { createHash } from "node:crypto";
import { createReadStream } from "node:fs";
import { mkdir, stat } from "node:fs/promises";
import { basename, join } from "node:path";
import type { PublishedWeights, WrittenModel } from "../src/backends/protocol.ts";
import { type ClipArchitecture, clipVitB32 } from "../src/models/onnx/architecture.ts";
import { accessFile, parseSafetensors } from "../src/models/safetensors.ts";
import { isWritten, modelFilesIn, writeModel } from "./write-model.ts";

/** Goes into the folder's name: to be raised whenever the graph's bytes change. */
const GRAPH_VERSION = 1;

/**
 * Writes both towers from a safetensors file, unless they are there already. The folder's name carries
 * the digest of the weights, so what was written once need not be hashed again.
 *
 * @param directory folder of what is made from weights; it is made where it is missing.
 * @returns the towers, or one sentence about why there are none.
 * @throws Error of the file system, such as a full disk.
 */
export async function writePublishedModel(
  directory: string,
  weights: PublishedWeights,
  architecture: ClipArchitecture = clipVitB32,
): Promise<WrittenModel> {
  const digest = weights.sha256.slice(0, 8);
  const folder = join(directory, `clip-${digest}-v${GRAPH_VERSION}`);
  const files = modelFilesIn(folder);
  if (await isWritten(files, architecture)) return files;
  const fault = await findFault(weights);
  if (fault !== undefined) return { unavailable: fault };
  await mkdir(folder, { recursive: true });
  using file = accessFile(weights.path);
  await writeModel(files, architecture, parseSafetensors(file));
  return files;
}

async function findFault({ path, bytes, sha256 }: PublishedWeights): Promise<string | undefined> {
  const name = basename(path);
  const size = await stat(path).then(
    (found) => found.size,
    () => undefined,
  );
  if (size === undefined) return `There is no ${name} on this host.`;
  if (size !== bytes) return `${name} has ${size} bytes instead of ${bytes}: copy it again.`;
  const hash = createHash("sha256");
  for await (const chunk of createReadStream(path, { highWaterMark: 1 << 20 })) hash.update(chunk);
  if (hash.digest("hex") !== sha256) return `${name} is not the published file: copy it again.`;
  return undefined;
}
