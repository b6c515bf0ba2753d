/** Native libraries without a file on disk: nothing to unpack, to trust or to clean up. */
import { closeSync, readFileSync } from "node:fs";
import type { EmbeddedFile, NativeFile } from "./embedded.ts";
import type { Libc } from "./libc.ts";
import { writeWhole } from "./write-whole.ts";

/**
 * Copies native files into anonymous memory files. These stay open as long as the process: every thread
 * loads the bindings through them.
 *
 * @returns the same names with paths that can be loaded, in any thread.
 * @throws Error with a clause that says why not, if memory files or running code from them is refused here.
 */
export function placeInMemory(
  files: readonly EmbeddedFile[],
  libc: Pick<Libc, "createMemoryFile" | "canRun">,
): NativeFile[] {
  const open: number[] = [];
  try {
    return files.map(({ name, path }) => {
      const descriptor = libc.createMemoryFile(name);
      if (descriptor === undefined) {
        throw new Error(
          "memfd_create is refused here (allow it in the service's system call filter, and enough open files)",
        );
      }
      open.push(descriptor);
      writeWhole(descriptor, readFileSync(path));
      if (!libc.canRun(descriptor)) {
        throw new Error(
          "code in memory files may not run here (the host's security policy forbids it)",
        );
      }
      return { name, path: `/proc/self/fd/${descriptor}` };
    });
  } catch (error) {
    for (const descriptor of open) closeSync(descriptor);
    throw error;
  }
}
