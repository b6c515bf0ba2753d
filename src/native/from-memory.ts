/** Native libraries without a file on disk: nothing to unpack, to trust or to clean up. */
import { FFIType, dlopen as openLibrary } from "bun:ffi";
import { readFileSync, writeSync } from "node:fs";
import { cString } from "./c-string.ts";
import type { NativeFile } from "./embedded.ts";

/** `MFD_CLOEXEC` of memfd_create(2): child processes do not inherit the files. */
const MFD_CLOEXEC = 1;
/** `RTLD_NOW | RTLD_GLOBAL` of dlopen(3): a binding then finds its library by SONAME, as loaded already. */
const RTLD_NOW_GLOBAL = 0x102;

/**
 * Copies native files into anonymous memory files, and loads the libraries among them into the process.
 * The memory files stay open as long as the process: every thread opens the bindings through them.
 *
 * @param files libraries before the bindings that need them.
 * @returns the same names with paths that `process.dlopen` takes, in any thread.
 * @throws Error with one sentence, if memory files or running code from them is forbidden here.
 */
export function loadFromMemory(files: readonly NativeFile[]): NativeFile[] {
  const libc = openLibc();
  try {
    return files.map(({ name, path }) => {
      const memoryPath = copyToMemory(libc.symbols, name, readFileSync(path));
      if (isLibrary(name)) loadLibrary(libc.symbols, name, memoryPath);
      return { name, path: memoryPath };
    });
  } finally {
    libc.close();
  }
}

function openLibc() {
  return openLibrary("libc.so.6", {
    memfd_create: { args: [FFIType.cstring, FFIType.u32], returns: FFIType.i32 },
    dlopen: { args: [FFIType.cstring, FFIType.i32], returns: FFIType.pointer },
    dlerror: { args: [], returns: FFIType.cstring },
  });
}

type LibcSymbols = ReturnType<typeof openLibc>["symbols"];

function copyToMemory(libc: LibcSymbols, name: string, bytes: Uint8Array): string {
  const descriptor = libc.memfd_create(cString(name), MFD_CLOEXEC);
  if (descriptor < 0) {
    throw new Error(
      `${name} cannot be loaded from memory because memfd_create is refused here: allow it in the service's system call filter, and enough open files`,
    );
  }
  for (let written = 0; written < bytes.length; ) {
    written += writeSync(descriptor, bytes, written);
  }
  return `/proc/self/fd/${descriptor}`;
}

function loadLibrary(libc: LibcSymbols, name: string, path: string): void {
  if (libc.dlopen(cString(path), RTLD_NOW_GLOBAL) === null) {
    throw new Error(
      `${name} cannot be loaded from memory; glibc, libstdc++6, libgcc-s1 and /proc are needed: ${libc.dlerror()}`,
    );
  }
}

function isLibrary(name: string): boolean {
  return /\.so(\.\d+)*$/.test(name);
}
