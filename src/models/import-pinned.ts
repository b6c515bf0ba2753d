/** Takes an operator's own weights of a model from a folder. */
import { readdir, rm } from "node:fs/promises";
import { basename, dirname, join } from "node:path";
import { checkFile, type FileFacts } from "./checked-files.ts";
import type { InstalledModel } from "./installed-model.ts";
import type { ClipArchitecture } from "./onnx/architecture.ts";
import { imageTower } from "./onnx/image-tower.ts";
import { elementCount } from "./onnx/tensor-source.ts";
import { textTower } from "./onnx/text-tower.ts";
import { pin, pinnedPath } from "./pinned-weights.ts";
import { shortDigest } from "./prepared.ts";
import { accessFile, parseSafetensors, type Safetensors } from "./safetensors.ts";
import { type CopyTerms, placeCopy, placesIn, sizeOf } from "./weights.ts";

/** A file that has the digest; or one sentence about why there is none. */
type Found = { readonly path: string; readonly facts: FileFacts } | { readonly fault: string };

/**
 * Pins the safetensors file of a folder that has a certain digest: it is checked, copied, and served from
 * the next start on. What was pinned before is deleted.
 *
 * @param folder or the file itself.
 * @param sha256 lower-case hex.
 * @returns one sentence about why not, or undefined.
 * @throws the signal's reason; Error of the file system.
 */
export async function importPinned(
  folder: string,
  model: InstalledModel,
  sha256: string,
  terms: CopyTerms,
): Promise<string | undefined> {
  const { id, modelsDir, architecture } = model;
  const found = await findByDigest(folder, model, sha256, terms);
  if ("fault" in found) return found.fault;
  const fault = architectureFault(found.path, architecture);
  if (fault !== undefined) return `${basename(found.path)} cannot be a ${id}: ${fault}`;
  const target = pinnedPath(modelsDir, id, sha256);
  const to = { ...found.facts, target, lock: `${dirname(target)}.lock` };
  const notPlaced = await placeCopy(found.path, to, terms);
  if (notPlaced !== undefined) return notPlaced;
  await pin(modelsDir, id, found.facts);
  const { pinned } = model;
  if (pinned !== undefined && pinned.sha256 !== sha256) {
    await rm(dirname(pinned.target), { recursive: true, force: true });
    await rm(pinned.folder, { recursive: true, force: true });
  }
  return undefined;
}

async function findByDigest(
  folder: string,
  { id, source }: InstalledModel,
  sha256: string,
  { signal, onProgress }: CopyTerms,
): Promise<Found> {
  const loose = await readdir(folder).catch(() => []);
  const named = loose.filter((name) => name.endsWith(".safetensors"));
  const places = [
    folder,
    ...placesIn(folder, id, source),
    ...named.map((name) => join(folder, name)),
  ];
  const digests: string[] = [];
  for (const path of new Set(places)) {
    const size = await sizeOf(path);
    if (size === undefined) continue;
    const facts = await checkFile(path, { signal, onRead: (bytes) => onProgress(bytes, size) });
    if (facts.sha256 === sha256) return { path, facts };
    digests.push(`${basename(path)} has ${shortDigest(facts.sha256)}…`);
  }
  if (digests.length === 0) return { fault: "there is no .safetensors file in that folder" };
  return { fault: `no file there has the SHA-256 ${shortDigest(sha256)}…: ${digests.join(", ")}` };
}

/** @returns what of a safetensors file does not fit a model, in one clause. */
function architectureFault(path: string, architecture: ClipArchitecture): string | undefined {
  using file = accessFile(path);
  try {
    findUnfit(parseSafetensors(file), architecture);
    return undefined;
  } catch (error) {
    if (error instanceof Error && !("code" in error)) return error.message;
    throw error;
  }
}

/** @throws Error that names the first tensor that is missing or another than the graph needs. */
function findUnfit({ check }: Safetensors, architecture: ClipArchitecture): void {
  for (const { weights } of [imageTower(architecture), textTower(architecture)]) {
    for (const weight of weights) {
      weight.read({
        read: (name, shape) => {
          check(name, shape);
          return new Float32Array(elementCount(shape));
        },
      });
    }
  }
}
