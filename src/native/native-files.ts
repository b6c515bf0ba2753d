import { readdirSync } from "node:fs";
import { join } from "node:path";
import type { Platform } from "../release/platform.ts";

/**
 * Finds the native files of a system.
 *
 * @returns name → absolute path, libraries before the bindings that need them.
 * @throws Error if a package no longer has them where it had.
 */
export function nativeFiles({ arch, modules }: Platform): ReadonlyMap<string, string> {
  const ort = join(modules, "onnxruntime-node/bin/napi-v6/linux", arch);
  const vips = join(modules, `@img/sharp-libvips-linux-${arch}/lib`);
  const sharp = join(modules, `@img/sharp-linux-${arch}/lib`);
  const vipsLibrary = onlyFile(vips, /^libvips-cpp\.so\.[\d.]+$/);
  return new Map([
    ["libonnxruntime.so.1", join(ort, onlyFile(ort, /^libonnxruntime\.so\.1$/))],
    ["onnxruntime_binding.node", join(ort, onlyFile(ort, /^onnxruntime_binding\.node$/))],
    [vipsLibrary, join(vips, vipsLibrary)],
    ["sharp.node", join(sharp, onlyFile(sharp, /^sharp-linux-.*\.node$/))],
  ]);
}

function onlyFile(folder: string, pattern: RegExp): string {
  const [found, ...others] = readdirSync(folder).filter((name) => pattern.test(name));
  if (found === undefined || others.length > 0) {
    throw new Error(`${folder} no longer has exactly one ${pattern}: adapt native-files.ts`);
  }
  return found;
}
