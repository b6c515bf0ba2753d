import { dlopen as openLibrary, type Pointer } from "bun:ffi";
import { cString } from "./c-string.ts";

/** `MFD_CLOEXEC` of memfd_create(2): child processes do not inherit the file. */
const MFD_CLOEXEC = 1;
/** `LOCK_EX` of flock(2). */
const LOCK_EX = 2;
/** `PROT_READ`, `PROT_READ | PROT_EXEC`, `MAP_SHARED` and `MAP_PRIVATE` of mmap(2). */
const PROT_READ = 1;
const PROT_READ_EXEC = 5;
const MAP_SHARED = 1;
const MAP_PRIVATE = 2;
/** `MAP_FAILED` of mmap(2), as an unsigned number. */
const MAP_FAILED = 2n ** 64n - 1n;
/** `MADV_DONTNEED` of madvise(2). */
const MADV_DONTNEED = 4;
/** `RTLD_NOW | RTLD_GLOBAL` of dlopen(3): a binding then finds its library by SONAME, as loaded already. */
const RTLD_NOW_GLOBAL = 0x102;
/** `RTLD_LAZY | RTLD_NOLOAD`: only asks. */
const RTLD_LAZY_NOLOAD = 5;

/** The calls of the C library that Bun has no name for. */
export interface Libc extends Disposable {
  /** @returns the descriptor of a file without a place on disk, or undefined where that is refused. */
  createMemoryFile(name: string): number | undefined;
  /** Whether code of this file may run: not on a file system mounted `noexec`, for one. */
  canRun(descriptor: number): boolean;
  /** Waits for a lock that ends with the descriptor, or with the process. @returns whether it holds. */
  lock(descriptor: number): boolean;
  /** @returns what is wrong, or undefined when the library is loaded for the whole process. */
  loadLibrary(path: string): string | undefined;
  /** Whether a loaded library answers to this `SONAME`. */
  isLoaded(soname: string): boolean;
  /** @returns where a function of a loaded library begins, or undefined where there is none. */
  addressIn(soname: string, name: string): Pointer | bigint | undefined;
  /**
   * Which share of a file is in memory, by the first page of every `stepBytes`, a multiple of the page size; undefined
   * where the kernel does not say. Of a file that the user neither owns nor may write to it says that all is (mincore(2)).
   */
  shareInMemory(descriptor: number, bytes: number, stepBytes: number): number | undefined;
  /** Gives pages back: reading them again takes them from their file. `start` is a page's. */
  releasePages(start: number, bytes: number): void;
  readonly pageBytes: number;
}

/** Opens the C library that this process runs on. */
export function openLibc(): Libc {
  const { symbols, close } = openLibrary("libc.so.6", {
    memfd_create: { args: ["cstring", "u32"], returns: "i32" },
    mmap: { args: ["ptr", "u64", "i32", "i32", "i32", "i64"], returns: "u64" },
    munmap: { args: ["u64", "u64"], returns: "i32" },
    mincore: { args: ["u64", "u64", "ptr"], returns: "i32" },
    madvise: { args: ["u64", "u64", "i32"], returns: "i32" },
    getpagesize: { args: [], returns: "i32" },
    flock: { args: ["i32", "i32"], returns: "i32" },
    dlopen: { args: ["cstring", "i32"], returns: "ptr" },
    dlsym: { args: ["ptr", "cstring"], returns: "ptr" },
    dlclose: { args: ["ptr"], returns: "i32" },
    dlerror: { args: [], returns: "cstring" },
  });
  const pageBytes = symbols.getpagesize();
  return {
    createMemoryFile(name) {
      const descriptor = symbols.memfd_create(cString(name), MFD_CLOEXEC);
      return descriptor < 0 ? undefined : descriptor;
    },
    canRun(descriptor) {
      const page = symbols.mmap(null, pageBytes, PROT_READ_EXEC, MAP_PRIVATE, descriptor, 0);
      if (BigInt(page) === MAP_FAILED) return false;
      symbols.munmap(page, pageBytes);
      return true;
    },
    lock: (descriptor) => symbols.flock(descriptor, LOCK_EX) === 0,
    loadLibrary(path) {
      const handle = symbols.dlopen(cString(path), RTLD_NOW_GLOBAL);
      return handle === null ? String(symbols.dlerror()) : undefined;
    },
    isLoaded(soname) {
      const handle = symbols.dlopen(cString(soname), RTLD_LAZY_NOLOAD);
      if (handle === null) return false;
      symbols.dlclose(handle);
      return true;
    },
    addressIn(soname, name) {
      const handle = symbols.dlopen(cString(soname), RTLD_LAZY_NOLOAD);
      if (handle === null) return undefined;
      const address = symbols.dlsym(handle, cString(name));
      symbols.dlclose(handle);
      return address ?? undefined;
    },
    shareInMemory(descriptor, bytes, stepBytes) {
      const start = BigInt(symbols.mmap(null, bytes, PROT_READ, MAP_SHARED, descriptor, 0));
      if (start === MAP_FAILED) return undefined;
      const page = new Uint8Array(1);
      let [asked, there] = [0, 0];
      for (let at = 0; at < bytes; at += stepBytes) {
        if (symbols.mincore(start + BigInt(at), 1, page) !== 0) break;
        asked += 1;
        // The lowest bit says so, and the others are reserved.
        there += (page[0] ?? 0) & 1;
      }
      symbols.munmap(start, bytes);
      return asked === 0 ? undefined : there / asked;
    },
    releasePages(start, bytes) {
      symbols.madvise(start, bytes, MADV_DONTNEED);
    },
    pageBytes,
    [Symbol.dispose]: close,
  };
}
