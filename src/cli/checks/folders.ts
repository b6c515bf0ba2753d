/** Folders that the service writes to, and the disks under them. */
import { mkdtemp, open, rm, rmdir, stat, statfs } from "node:fs/promises";
import { dirname, join, resolve } from "node:path";
import { type Check, type Finding, fail, ok, warn } from "./check.ts";

/** A folder that must take files. */
interface Folder {
  /** The line's name. */
  readonly name: string;
  readonly path: string;
  /** The setting that moves it. */
  readonly setting: string;
  /** Looks at a file that was just written there. */
  readonly look?: (descriptor: number) => void;
  /** How bad it is if it takes none; `fail` unless it says otherwise. */
  readonly complain?: typeof fail;
}

export function writableCheck({ name, path, setting, look, complain = fail }: Folder): Check {
  return {
    name,
    run: async () => {
      const shown = resolve(path);
      const fault = await probe(path, look).catch(codeOf);
      if (fault === undefined) return ok(`${shown} takes files`);
      if (fault !== "ENOENT") return complain(`${shown}: ${sentence(fault)}`, mendFor(setting));
      const parent = await existingParent(path);
      const parentFault = await probe(parent, look).catch(codeOf);
      return parentFault === undefined
        ? ok(`${shown} will be made`)
        : complain(`${shown} cannot be made: ${sentence(parentFault)}`, mendFor(setting));
    },
  };
}

/**
 * Without the cache folder no vectors are kept; code must be allowed to run from it only where native
 * libraries cannot be loaded from memory.
 *
 * @param canRun whether code of an open file may run.
 */
export function cacheFolderCheck(path: string, canRun: (descriptor: number) => boolean): Check {
  const mend =
    "without it no vectors are kept: point CACHE_DIR elsewhere, or set CACHE_MAX_BYTES=0";
  const mendToRun =
    "needed only where native libraries cannot be loaded from memory: point CACHE_DIR elsewhere";
  let isRunnable = true;
  const look = (descriptor: number) => {
    isRunnable = canRun(descriptor);
  };
  const folder = { name: "cache folder", path, setting: "CACHE_DIR", look };
  return {
    name: folder.name,
    run: async (signal) => {
      const finding = await writableCheck(folder).run(signal);
      if (finding.status !== "ok") return warn(finding.found, mend);
      return isRunnable ? finding : warn(`${resolve(path)} is mounted noexec`, mendToRun);
    },
  };
}

/** A folder's disk, and what must fit on it. */
interface Space {
  readonly name: string;
  readonly path: string;
  readonly setting: string;
  readonly neededBytes: number;
  /** What is missing without it. */
  readonly otherwise: string;
}

export function freeSpaceCheck({ name, path, setting, neededBytes, otherwise }: Space): Check {
  return {
    name,
    run: async () => {
      const { bavail, bsize } = await statfs(await existingParent(path));
      const free = bavail * bsize;
      const found = `${megabytes(free)} free, ${megabytes(neededBytes)} needed`;
      return free >= neededBytes
        ? ok(found)
        : fail(`${found}: ${otherwise}`, `free space, or point ${setting} elsewhere`);
    },
  };
}

/** Memory that looks like a folder; some libraries want it. */
export function sharedMemoryCheck(path = "/dev/shm"): Check {
  return {
    name: "shared memory",
    run: async (): Promise<Finding> => {
      const fault = await probe(path).catch(codeOf);
      if (fault === undefined) return ok(`${path} takes files`);
      return warn(
        `${path}: ${sentence(fault)}`,
        `mount it: mount -t tmpfs -o mode=1777 tmpfs ${path}`,
      );
    },
  };
}

/** Makes a folder with a file in a folder, and takes both away. */
async function probe(path: string, look?: Folder["look"]): Promise<undefined> {
  if (!(await stat(path)).isDirectory()) throw Object.assign(new Error(), { code: "ENOTDIR" });
  const own = await mkdtemp(join(path, ".imagesvc-doctor-"));
  try {
    const file = await open(join(own, "probe"), "wx+");
    try {
      await file.write(Buffer.alloc(4096, 1));
      look?.(file.fd);
    } finally {
      await file.close();
      await rm(join(own, "probe"), { force: true });
    }
  } finally {
    await rmdir(own);
  }
}

/** The closest folder above that is there, or the path itself. */
async function existingParent(path: string): Promise<string> {
  for (let folder = resolve(path); folder !== "/"; folder = dirname(folder)) {
    const found = await stat(folder).catch(codeOf);
    if (found !== "ENOENT" && found !== "ENOTDIR") return folder;
  }
  return "/";
}

function codeOf(error: unknown): string {
  if (error instanceof Error && "code" in error) return String(error.code);
  throw error;
}

function sentence(code: string): string {
  switch (code) {
    case "EACCES":
    case "EPERM":
      return "this user may not write there";
    case "EROFS":
      return "it is read-only";
    case "ENOSPC":
    case "EDQUOT":
      return "its disk is full";
    case "ENOTDIR":
      return "it is no folder";
    case "ENOENT":
      return "no folder can be made there";
    default:
      return `the system answers ${code}`;
  }
}

function mendFor(setting: string): string {
  return `give it to this user (chown), free space on its disk, or point ${setting} elsewhere`;
}

function megabytes(bytes: number): string {
  return `${Math.floor(bytes / 1e6)} MB`;
}
