import { open } from "node:fs/promises";
import { codeOf } from "../errors.ts";

/**
 * Makes a rename in a folder outlast a power cut, where its file system lets that be asked for.
 *
 * @throws Error of the file system.
 */
export async function syncFolder(path: string): Promise<void> {
  const folder = await open(path, "r");
  try {
    await folder.sync();
  } catch (error) {
    // fsync(2): no folder can be synced there.
    if (codeOf(error) !== "EINVAL") throw error;
  } finally {
    // Nobody waits for that: it is one trip to the disk's threads more.
    folder.close().catch(() => {});
  }
}
