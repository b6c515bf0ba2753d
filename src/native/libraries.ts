import { getEnvironmentData, setEnvironmentData } from "node:worker_threads";
import { messageOf } from "../errors.ts";
import { type EmbeddedFile, embedded, type NativeFile } from "./embedded.ts";
import { releaseEmbeddedPages } from "./executable-pages.ts";
import { placeInFolder } from "./from-folder.ts";
import { placeInMemory } from "./from-memory.ts";
import { type Libc, openLibc } from "./libc.ts";
import { findOwnFiles } from "./own-folder.ts";
import { disableOrtTelemetry } from "./telemetry.ts";

/** What the operator can say about native libraries. */
export interface NativePlaces {
  /** Where they are written to if memory files are refused. */
  readonly cacheDir: string;
  /** `NATIVE_DIR`: a folder of the operator's own; empty where there is none. */
  readonly nativeDir: string;
}

/** How the native libraries were loaded. */
export interface NativeLoad {
  /**
   * Where those came from that the executable carries: `own folder` if `NATIVE_DIR` had them all, and
   * `node_modules` from source.
   */
  readonly way: "memory" | "folder" | "own folder" | "node_modules";
  /** Why they did not load from memory. */
  readonly memoryRefusal: string | undefined;
  /** Names of those that came from `NATIVE_DIR`. */
  readonly own: readonly string[];
}

/**
 * Makes the native libraries ready for every thread: from memory, or where that is refused from the cache
 * folder. To be called once, on the main thread, before the first worker starts. From source only
 * onnxruntime's telemetry is turned off: node_modules has the libraries.
 *
 * @throws Error with one sentence for the operator, if this host does not let them load.
 */
export function loadNativeLibraries({ cacheDir, nativeDir }: NativePlaces): NativeLoad {
  disableOrtTelemetry();
  if (embedded === undefined) return { way: "node_modules", memoryRefusal: undefined, own: [] };
  const { nativeFiles } = embedded;
  const names = nativeFiles.map(({ name }) => name);
  const own = findOwnFiles(nativeDir, names);
  const ownNames = own.map(({ name }) => name);
  const carried = nativeFiles.filter(({ name }) => !ownNames.includes(name));
  using libc = openLibc();
  const { placed, ...load } = place(carried, cacheDir, libc);
  // In the order of the names: libraries come before the bindings that need them.
  for (const name of names) {
    const mine = own.find((file) => file.name === name);
    const file = mine ?? placed.find((other) => other.name === name);
    if (file === undefined) continue;
    if (isLibrary(name)) loadLibrary(file, mine !== undefined, libc);
    else if (mine !== undefined) tryOwnBinding(mine);
    setEnvironmentData(keyOf(name), file.path);
  }
  releaseEmbeddedPages(libc);
  return { ...load, own: ownNames };
}

/** Says in a few words how the native libraries were loaded, for the log and for `doctor`. */
export function describeNativeLoad({ way, memoryRefusal, own }: NativeLoad): string {
  const isMixed = own.length > 0 && way !== "own folder";
  const exceptions = !isMixed ? "" : `${own.join(", ")} from NATIVE_DIR, others `;
  const why = memoryRefusal === undefined ? "" : `, because ${memoryRefusal}`;
  return `${exceptions}from ${placeNames[way]}${why}`;
}

const placeNames = {
  memory: "memory",
  folder: "the cache folder",
  "own folder": "NATIVE_DIR",
  node_modules: "node_modules",
} as const satisfies Record<NativeLoad["way"], string>;

function place(files: readonly EmbeddedFile[], cacheDir: string, libc: Libc) {
  if (files.length === 0) {
    return { way: "own folder", memoryRefusal: undefined, placed: [] } as const;
  }
  let memoryRefusal: string;
  try {
    return { way: "memory", memoryRefusal: undefined, placed: placeInMemory(files, libc) } as const;
  } catch (error) {
    memoryRefusal = messageOf(error);
  }
  try {
    const userId = process.getuid?.() ?? 0;
    const placed = placeInFolder(files, { cacheDir, userId, libc });
    return { way: "folder", memoryRefusal, placed } as const;
  } catch (error) {
    throw new Error(
      `the native libraries load neither from memory, because ${memoryRefusal}, nor from the cache folder, because ${messageOf(error)}`,
      { cause: error },
    );
  }
}

function loadLibrary({ name, path }: NativeFile, isOwn: boolean, libc: Libc): void {
  const what = isOwn ? `${name} of NATIVE_DIR` : name;
  const fault = libc.loadLibrary(path);
  if (fault !== undefined) {
    throw new Error(
      `${what} cannot be loaded; glibc, libstdc++6, libgcc-s1 and /proc are needed: ${fault}`,
    );
  }
  if (!libc.isLoaded(name)) {
    throw new Error(`${what} has another SONAME: give it this one, as its bindings ask for it`);
  }
}

/** What is inside is the operator's affair, but a worker that could not load it would end with a stack. */
function tryOwnBinding({ name, path }: NativeFile): void {
  try {
    process.dlopen({ exports: {} }, path);
  } catch (cause) {
    const why = messageOf(cause).split("\n", 1)[0];
    throw new Error(
      `${name} of NATIVE_DIR cannot be loaded: ${why}: replace the file, or take it away`,
      { cause },
    );
  }
}

function isLibrary(name: string): boolean {
  return /\.so(\.\d+)*$/.test(name);
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
