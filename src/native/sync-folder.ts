import { open } from "node:fs/promises";

/** Makes a rename in a folder outlast a power cut. @throws Error of the file system. */
export async function syncFolder(path: string): Promise<void> {
  const folder = await open(path, "r");
  await folder.sync().finally(() => folder.close());
}
