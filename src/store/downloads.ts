/** The downloads folder: received images, each one file named by the SHA-256 of its bytes. */
import {
  access,
  constants,
  mkdir,
  open,
  readdir,
  rename,
  rm,
  stat,
  statfs,
  utimes,
} from "node:fs/promises";
import { join } from "node:path";
import type { ImageBytes, ImageFacts } from "../backends/protocol.ts";
import { codeOf, messageOf, Problem } from "../errors.ts";
import { tryLock } from "../native/file-lock.ts";
import { syncFolder } from "../native/sync-folder.ts";
import { createFreeSpace } from "./free-space.ts";
import { createGroupedCall } from "./grouped-call.ts";
import { incomingPath, isAbandoned } from "./incoming.ts";

export interface DownloadsOptions {
  readonly directory: string;
  /** Bytes that must stay free on the folder's disk. */
  readonly minFreeBytes: number;
}

/** How a kept file is named in answers. */
export interface SavedFile {
  /** `<sha256>.<ext>` */
  readonly savedAs: string;
  /** `downloads/<savedAs>`: relative, whatever the folder is called on the host. */
  readonly path: string;
}

/** A file under way: nobody else sees it until it is kept. */
export interface Spool {
  readonly path: string;
  /** Appends bytes; @throws Problem `storage-full`. */
  write(chunk: Uint8Array): Promise<void>;
  /** Takes the file away, if it is still there. Safe to call at any time and more than once. */
  discard(): Promise<void>;
}

/** An image that lies on the disk already, in case it is to be kept. */
export interface StagedImage {
  /** Keeps it, as {@link Downloads.keep} does. */
  keep(facts: ImageFacts): Promise<SavedFile>;
  /** Takes away what was written, unless it is kept. Safe to call at any time and more than once. */
  discard(): Promise<void>;
}

export interface Downloads {
  /**
   * Makes the folder and takes away what an earlier process left half-written.
   *
   * @throws Error of the file system, with its code, also if this user may not write there.
   */
  prepare(): Promise<void>;
  /** Opens a new file under way. @throws Problem `storage-full`. */
  openSpool(): Promise<Spool>;
  /**
   * Keeps an image under its digest, also through a power cut the moment after; the same bytes twice are one
   * file, whose time of change is that of the last request, or of a moment before: its age counts from there.
   *
   * @throws Problem `storage-full`; nothing half-written stays.
   */
  keep(image: ImageBytes, facts: ImageFacts): Promise<SavedFile>;
  /**
   * Begins to write an image, so that most of the disk's time is over when it is known that it is to be kept.
   * Never throws: what goes wrong is thrown when it is kept.
   *
   * @param image what it holds in memory is copied, and may be given away at once.
   */
  stage(image: ImageBytes): StagedImage;
  /** Whether a new image would have room now. @throws Error of the file system. */
  hasRoom(): Promise<boolean>;
}

/**
 * One sentence, with the mend, for what keeps the folder from being prepared.
 *
 * @param directory as it was given.
 */
export function downloadsFault(error: unknown, directory: string): string {
  const code = codeOf(error);
  switch (code) {
    case "EACCES":
    case "EPERM":
    case "EROFS":
      return `DOWNLOADS_DIR (${directory}) cannot be written to (${code}): make it writable for this user, or choose another folder`;
    case "EEXIST":
    case "ENOENT":
    case "ENOTDIR":
      return `DOWNLOADS_DIR (${directory}) cannot be made a folder: choose another path`;
    case "ENOSPC":
    case "EDQUOT":
      return `the disk of DOWNLOADS_DIR (${directory}) is full: free space, or point it elsewhere`;
    default:
      return `DOWNLOADS_DIR (${directory}) cannot be used: ${messageOf(error)}`;
  }
}

/** A file under way that is on the disk. */
interface WrittenFile extends Pick<Spool, "path" | "discard"> {
  close(): Promise<void>;
}

/** How a file is named in answers, kept or not. */
export function savedFile({ sha256, format }: ImageFacts): SavedFile {
  const savedAs = `${sha256}.${format}`;
  return { savedAs, path: `downloads/${savedAs}` };
}

const newFile = constants.O_CREAT | constants.O_EXCL | constants.O_WRONLY | constants.O_NOFOLLOW;
/**
 * A write to it ends when the bytes and the file's length are on the disk (open(2): O_DSYNC), and fails where a
 * sync would: one trip to the pool instead of two. `flush` of `writeFile` is no way, for Bun 1.4.5 ignores its error.
 */
const newSyncedFile = newFile | constants.O_DSYNC;

/** Makes the store; the folder is touched by `prepare` and later. */
export function createDownloads(options: DownloadsOptions): Downloads {
  const { directory } = options;
  const { openFile, write, hasRoom } = createFiles(options);
  const syncNames = createGroupedCall(() => syncFolder(directory));
  /** Files whose name may not outlast a power cut yet. */
  let unsynced = 0;

  /** Gives a file its name, for good even if the power fails the moment after. */
  async function place(path: string, target: string): Promise<void> {
    unsynced += 1;
    try {
      await rename(path, target);
      await syncNames();
    } finally {
      unsynced -= 1;
    }
  }

  /** Gives an image its name, over whatever has it already: that is the same bytes, or was cut short. */
  async function keepWritten(facts: ImageFacts, file: WrittenFile): Promise<SavedFile> {
    const saved = savedFile(facts);
    try {
      await storing(() => place(file.path, join(directory, saved.savedAs)));
    } catch (error) {
      await file.discard();
      throw error;
    }
    // Nobody waits for that: it has its name.
    file.close().catch(() => {});
    return saved;
  }

  async function keep(image: ImageBytes, facts: ImageFacts): Promise<SavedFile> {
    const saved = savedFile(facts);
    const target = join(directory, saved.savedAs);
    if ((await touch(target)) && (await hasSize(target, await sizeOf(image)))) {
      // It may be a request's that is under way.
      if (unsynced > 0) await storing(syncNames);
      return saved;
    }
    return await keepWritten(facts, await write(image));
  }

  return {
    openSpool: () => openFile(),
    hasRoom,
    prepare: async () => {
      await mkdir(directory, { recursive: true, mode: 0o700 });
      await access(directory, constants.W_OK | constants.X_OK);
      for (const name of await readdir(directory)) {
        if (await isAbandoned(directory, name)) await rm(join(directory, name), { force: true });
      }
    },
    keep,
    stage: (image) => {
      const own = image.kind === "memory" ? { ...image, bytes: image.bytes.slice() } : image;
      const writing = write(own);
      writing.catch(() => {});
      let isPlaced = false;
      return {
        keep: async (facts) => {
          const file = await writing;
          isPlaced = true;
          return await keepWritten(facts, file);
        },
        discard: async () => {
          if (isPlaced) return;
          const file = await writing.catch(() => undefined);
          await file?.discard();
        },
      };
    },
  };
}

/** Makes files under way. */
function createFiles({ directory, minFreeBytes }: DownloadsOptions) {
  const { hasRoom, hadRoom, wrote } = createFreeSpace(minFreeBytes, async () => {
    const { bavail, bsize } = await statfs(directory);
    return bavail * bsize;
  });

  /** Opens one, with what only its keeper needs. */
  async function openFile(flags = newFile) {
    const path = incomingPath(directory);
    const file = await storing(async () => {
      if (!(await hadRoom())) throw storageFull(new Error("less than DOWNLOADS_MIN_FREE_BYTES"));
      return await open(path, flags, 0o600);
    });
    // Until it is closed, so that whoever sweeps the folder sees that it is somebody's.
    tryLock(file);
    let isOpen = true;
    const close = async () => {
      if (!isOpen) return;
      isOpen = false;
      await file.close();
    };
    return {
      path,
      close,
      write: (chunk: Uint8Array) =>
        storing(async () => {
          for (let offset = 0; offset < chunk.length; ) {
            const { bytesWritten } = await file.write(chunk, offset);
            offset += bytesWritten;
            wrote(bytesWritten);
          }
        }),
      discard: async () => {
        await close().catch(() => {});
        // What cannot be deleted is swept at the next start: why it was to go matters more.
        await rm(path, { force: true }).catch(() => {});
      },
    };
  }

  /** Writes an image to a file under way; all of it is on the disk then. */
  async function write(image: ImageBytes): Promise<WrittenFile> {
    if (image.kind === "file") {
      await storing(() => syncFile(image.path));
      // Its own spool closes it, and takes it away.
      return { path: image.path, close: async () => {}, discard: async () => {} };
    }
    const file = await openFile(newSyncedFile);
    try {
      await file.write(image.bytes);
      return file;
    } catch (error) {
      await file.discard();
      throw error;
    }
  }

  return { openFile, write, hasRoom };
}

async function sizeOf(image: ImageBytes): Promise<number> {
  return image.kind === "memory" ? image.bytes.length : (await stat(image.path)).size;
}

/**
 * Makes a file new again. It must come before the look whether the file is there: whoever deletes files by
 * their age (`kept-images.ts`) then either sees the new time, or has taken the file away before the look.
 *
 * @returns false where there is none, or another user's.
 */
async function touch(path: string): Promise<boolean> {
  const now = new Date();
  return await utimes(path, now, now).then(
    () => true,
    () => false,
  );
}

async function syncFile(path: string): Promise<void> {
  const file = await open(path, constants.O_RDONLY);
  await file.sync().finally(() => file.close());
}

async function hasSize(path: string, size: number): Promise<boolean> {
  const found = await stat(path).catch(() => undefined);
  return found?.isFile() === true && found.size === size;
}

/** Whatever the disk refuses is the caller's `storage-full`, with the reason for the log. */
async function storing<T>(work: () => Promise<T>): Promise<T> {
  try {
    return await work();
  } catch (error) {
    throw error instanceof Problem ? error : storageFull(error);
  }
}

function storageFull(cause: unknown): Problem {
  return new Problem(
    "storage-full",
    "The downloads folder cannot take the file: ask the operator to free space or to allow writing.",
    { cause },
  );
}
