/** Whether a disk has room for what will be written to it. */
import { statfs } from "node:fs/promises";

/**
 * Looks whether a folder's disk has so many bytes free for this user.
 *
 * @param folder of the models; it exists.
 * @returns one clause with the mend where it has not.
 * @throws Error of the file system.
 */
export async function spaceLack(folder: string, neededBytes: number): Promise<string | undefined> {
  const { bavail, bsize } = await statfs(folder);
  const freeBytes = bavail * bsize;
  if (freeBytes >= neededBytes) return undefined;
  const [needed, free] = [neededBytes, freeBytes].map((bytes) => Math.ceil(bytes / 1e6));
  return `the disk of MODELS_DIR has ${free} MB free, and ${needed} MB are needed: free space`;
}
