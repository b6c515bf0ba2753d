import { dlopen as openLibrary } from "bun:ffi";
import { isMainThread } from "node:worker_threads";

/**
 * By how much the workers give way. Linux gives a thread at nice 5 a third of the processor time of one at
 * nice 0, and only where both want it.
 */
const yieldingBy = 5;

/**
 * Makes the calling worker give way to the main thread, and with it the threads that it starts from now on: so
 * requests are answered at once while every core computes. On the main thread it does nothing.
 *
 * Linux keeps the nice value by thread, not by process as POSIX has it (nice(2), “C library/kernel
 * differences”). Where a filter of system calls refuses it, the thread goes on as before.
 */
export function yieldToMainThread(): void {
  if (isMainThread) return;
  const { symbols, close } = openLibrary("libc.so.6", {
    nice: { args: ["i32"], returns: "i32" },
  });
  symbols.nice(yieldingBy);
  close();
}
