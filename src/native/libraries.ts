import { getEnvironmentData, setEnvironmentData } from "node:worker_threads";
import { embedded } from "./embedded.ts";
import { loadFromMemory } from "./from-memory.ts";
import { disableOrtTelemetry } from "./telemetry.ts";

/**
 * Makes the native libraries ready for every thread. To be called once, on the main thread, before the
 * first worker starts. From source only onnxruntime's telemetry is turned off: node_modules has the
 * libraries.
 *
 * @throws Error with one sentence for the operator, if this host does not let them load.
 */
export function loadNativeLibraries(): void {
  disableOrtTelemetry();
  if (embedded === undefined) return;
  for (const { name, path } of loadFromMemory(embedded.nativeFiles)) {
    setEnvironmentData(keyOf(name), path);
  }
}

/**
 * Loads a binding into the calling thread. Only the executable calls it, from where onnxruntime-node
 * and sharp would look into node_modules (`build-plugin.ts`).
 *
 * @param name such as `sharp.node`.
 * @returns the exports of the binding.
 * @throws Error if `loadNativeLibraries` did not run before this thread started.
 * @public
 */
export function loadBinding(name: string): unknown {
  const path = getEnvironmentData(keyOf(name));
  if (typeof path !== "string") {
    throw new Error(`${name} is not loaded: call loadNativeLibraries() before a worker starts`);
  }
  const module: { exports: unknown } = { exports: {} };
  process.dlopen(module, path);
  return module.exports;
}

/** Under which the threads of this process share where a file was loaded. */
function keyOf(name: string): string {
  return `imagesvc/native/${name}`;
}
