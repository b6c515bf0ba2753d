/** Native libraries of the operator's own, in place of those that the executable carries. */
import { readdirSync } from "node:fs";
import { join, resolve } from "node:path";
import type { NativeFile } from "./embedded.ts";

/**
 * Looks for native files under the names that the executable carries. Nothing is checked: who may write
 * there, and what is in the files, is the operator's own affair.
 *
 * @param nativeDir `NATIVE_DIR`; empty where there is none.
 * @param names of every native file that the executable carries.
 * @returns those that are there; the executable's own take the place of the others.
 * @throws Error with one sentence and the names, if the folder has none of them.
 */
export function findOwnFiles(nativeDir: string, names: readonly string[]): NativeFile[] {
  if (nativeDir === "") return [];
  const present = readNames(nativeDir, names);
  const found = names.filter((name) => present.includes(name));
  if (found.length === 0) throw nothingFound(nativeDir, "has none of the native libraries", names);
  return found.map((name) => ({ name, path: join(resolve(nativeDir), name) }));
}

function readNames(nativeDir: string, names: readonly string[]): readonly string[] {
  try {
    return readdirSync(nativeDir);
  } catch (error) {
    throw nothingFound(nativeDir, "is not a folder that can be read", names, error);
  }
}

function nothingFound(folder: string, what: string, names: readonly string[], cause?: unknown) {
  return new Error(
    `NATIVE_DIR (${folder}) ${what}: put there one or more of ${names.join(", ")}, or leave it unset`,
    { cause },
  );
}
