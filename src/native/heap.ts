import { dlopen as openLibrary } from "bun:ffi";

/**
 * Gives the C library's free pages back to the system. After a large picture it would keep some hundred MB
 * for itself, spread over the heaps of the threads that worked on it (malloc_trim(3)).
 */
export function trimHeap(): void {
  const { symbols, close } = openLibrary("libc.so.6", {
    malloc_trim: { args: ["u64"], returns: "i32" },
  });
  symbols.malloc_trim(0);
  close();
}
