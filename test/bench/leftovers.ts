/** Folders of measured servers, which go when everything is measured. */
import { rm } from "node:fs/promises";

const folders: string[] = [];

/**
 * Takes a folder away when the last figure is done. ext4 makes new files more slowly for a minute and a half after many
 * were deleted, since it looks at each place that became free (`fs/ext4/ialloc.c`, `recently_deleted`): the next figure
 * then shows a service that takes a millisecond more for each image.
 */
export function removeLater(folder: string): void {
  folders.push(folder);
}

/** Takes them away. */
export async function removeLeftovers(): Promise<void> {
  for (const folder of folders.splice(0)) await rm(folder, { recursive: true, force: true });
}
