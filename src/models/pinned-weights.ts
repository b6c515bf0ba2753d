/** An operator's own weights of a model, which are served in the published ones' place. */

import { readFileSync } from "node:fs";
import { mkdir, rm } from "node:fs/promises";
import { join } from "node:path";
import { codeOf } from "../errors.ts";
import type { FileFacts } from "./checked-files.ts";
import { modelsFolderFault } from "./folder-fault.ts";
import { isRecord } from "./json.ts";
import { shortDigest } from "./prepared.ts";
import { replaceText } from "./replace-text.ts";

/** Why it cannot be told which weights are pinned. */
export interface PinFault {
  /** One clause. */
  readonly fault: string;
  /** What to do, in one clause. */
  readonly mend: string;
}

/** Which weights are pinned; or why that cannot be told. */
export type Pin = FileFacts | PinFault;

/** What is written as SHA-256: 64 hex digits. */
export const sha256Pattern = /^[0-9a-f]{64}$/i;

/**
 * Reads which weights of a model are pinned.
 *
 * @returns undefined where none are.
 */
export function readPin(modelsDir: string, id: string): Pin | undefined {
  try {
    const parsed: unknown = JSON.parse(readFileSync(pinPath(modelsDir, id), "utf8"));
    const { bytes, sha256 } = isRecord(parsed) ? parsed : {};
    if (typeof bytes !== "number" || typeof sha256 !== "string") throw new Error("not a pin");
    if (!Number.isSafeInteger(bytes) || !sha256Pattern.test(sha256)) throw new Error("not a pin");
    return { bytes, sha256 };
  } catch (error) {
    if (["ENOENT", "ENOTDIR"].includes(codeOf(error))) return undefined;
    const fault = "the record of the pinned weights cannot be read";
    // One that may not be read now may be right: only what is no record is to be removed.
    const why = modelsFolderFault(error);
    if (why !== undefined) return { fault, mend: why.replace(/\.$/, "") };
    return { fault, mend: `use "imagesvc models remove ${id}", and take the weights anew` };
  }
}

/** Name of pinned weights in the folder that is theirs. */
export const pinnedName = "model.safetensors";

/** Where pinned weights of a model lie. */
export function pinnedPath(modelsDir: string, id: string, sha256: string): string {
  return join(modelsDir, id, shortDigest(sha256), pinnedName);
}

/**
 * Pins weights that lie in their place: the next start serves them.
 *
 * @throws Error of the file system.
 */
export async function pin(modelsDir: string, id: string, facts: FileFacts): Promise<void> {
  await mkdir(join(modelsDir, id), { recursive: true });
  const { bytes, sha256 } = facts;
  await replaceText(pinPath(modelsDir, id), `${JSON.stringify({ sha256, bytes }, null, 2)}\n`);
}

/** Goes back to the published weights; the pinned file stays. @throws Error of the file system. */
export async function unpin(modelsDir: string, id: string): Promise<void> {
  await rm(pinPath(modelsDir, id), { force: true });
}

/** Whether a name in a model's folder may be that of a folder of pinned weights. */
export function isPinFolder(name: string): boolean {
  return /^[0-9a-f]{8}$/.test(name);
}

/** Where the record lies that says which weights of a model are pinned. */
export function pinPath(modelsDir: string, id: string): string {
  return join(modelsDir, id, "pinned.json");
}
