/** An operator's own weights of a model, which are served in the published ones' place. */

import { readFileSync } from "node:fs";
import { mkdir, rm } from "node:fs/promises";
import { basename, join } from "node:path";
import { codeOf } from "../errors.ts";
import type { FileFacts } from "./checked-files.ts";
import { isRecord } from "./json.ts";
import { shortDigest } from "./prepared.ts";
import { replaceText } from "./replace-text.ts";

/** Which weights are pinned; or one sentence about why that cannot be told. */
export type Pin = FileFacts | { readonly fault: string };

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
    return { fault: "the record of the pinned weights cannot be read" };
  }
}

/** Where pinned weights of a model lie. */
export function pinnedPath(modelsDir: string, id: string, sha256: string): string {
  return join(modelsDir, id, shortDigest(sha256), "model.safetensors");
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

/** Whether a name in a model's folder belongs to pinned weights. */
export function isPinName(name: string): boolean {
  return /^[0-9a-f]{8}$/.test(name) || name === basename(pinPath("", ""));
}

function pinPath(modelsDir: string, id: string): string {
  return join(modelsDir, id, "pinned.json");
}
