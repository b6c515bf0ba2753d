/** A folder whose files nobody else can have put there. */

import { lstatSync, mkdirSync, realpathSync, type Stats, statSync } from "node:fs";
import { join } from "node:path";
import { codeOf } from "../errors.ts";

const GROUP_OR_OTHERS_WRITE = 0o022;
const STICKY = 0o1000;

/** What is wrong with a folder, as a clause with the mend; an error of the file system is none. */
export class FolderFault extends Error {}

/**
 * Makes a folder that is there for its owner only, or makes sure that it is one.
 *
 * @param parent where it belongs; made if it is missing, and then also for its owner only.
 * @returns its path, free of symbolic links.
 * @throws FolderFault if it is a symbolic link, or another user owns it or can write there, or to `parent`.
 * @throws Error of the file system.
 */
export function preparePrivateFolder(parent: string, name: string, userId: number): string {
  mkdirSync(parent, { recursive: true, mode: 0o700 });
  checkParent(parent, userId);
  // Under DynamicUser= systemd's cache folder is a symbolic link.
  const folder = join(realpathSync(parent), name);
  makeFolder(folder);
  const stats = lstatSync(folder);
  if (stats.isDirectory() && isOnlyOurs(stats, userId)) return folder;
  throw new FolderFault(
    `${folder} is not a folder that only this user can write to; delete it, and look who made it`,
  );
}

/** Whether the user owns it and is the only one who can write to it, root apart. */
export function isOnlyOurs({ uid, mode }: Stats, userId: number): boolean {
  return uid === userId && (mode & GROUP_OR_OTHERS_WRITE) === 0;
}

/** The parents above it need no look: they cannot bring another owner into the folder itself. */
function checkParent(parent: string, userId: number): void {
  const { uid, mode } = statSync(parent);
  if (uid !== userId && uid !== 0) {
    throw new FolderFault(
      `${parent} belongs to another user; give it to this one, or set CACHE_DIR`,
    );
  }
  if ((mode & GROUP_OR_OTHERS_WRITE) !== 0 && (mode & STICKY) === 0) {
    throw new FolderFault(`others can write to ${parent}; take that away with chmod go-w`);
  }
}

function makeFolder(path: string): void {
  try {
    mkdirSync(path, { mode: 0o700 });
  } catch (error) {
    if (codeOf(error) !== "EEXIST") throw error;
  }
}
