import { access, constants, lstat, stat } from "node:fs/promises";
import type { ImageBytes } from "../backends/protocol.ts";
import { Problem } from "../errors.ts";
import { limits } from "../limits.ts";

/**
 * A file on this host as an image, whatever its bytes turn out to be. A small one is read at once: otherwise it
 * would be opened four times, to hash it in a thread of its own and to decode it. A larger one is read in a worker.
 *
 * @throws Problem as {@link openFile} does.
 */
export async function readSmallFile(path: string, maxImageBytes: number): Promise<ImageBytes> {
  const size = await checkFile(path, maxImageBytes);
  if (size > limits.maxHashedOnMainThreadBytes) return { kind: "file", path };
  const bytes = await Bun.file(path).slice(0, size).bytes().catch(refuseReading);
  return { kind: "memory", bytes };
}

/**
 * A file on this host as an image, whatever its bytes turn out to be; they are read in a worker.
 *
 * @throws Problem `not-found` where there is no file that can be read, `body-too-large` by its size.
 */
export async function openFile(path: string, maxImageBytes: number): Promise<ImageBytes> {
  await checkFile(path, maxImageBytes);
  await access(path, constants.R_OK).catch(refuseReading);
  return { kind: "file", path };
}

/** @returns its bytes' number. */
async function checkFile(path: string, maxImageBytes: number): Promise<number> {
  const found = await stat(path).catch(async (cause) => {
    const detail = (await isLink(path))
      ? "This link leads to no file: delete it, or bring back what it leads to."
      : "There is no file under this path: check its spelling.";
    throw new Problem("not-found", detail, { cause });
  });
  // Reading a pipe or a device might never end.
  if (!found.isFile()) {
    throw new Problem("not-found", "This is no regular file: give the path of an image file.");
  }
  if (found.size > maxImageBytes) {
    const detail = `The image has ${found.size} bytes, more than the limit of ${maxImageBytes}: shrink it, or raise MAX_IMAGE_BYTES.`;
    throw new Problem("body-too-large", detail);
  }
  return found.size;
}

function refuseReading(cause: unknown): never {
  throw new Problem("not-found", "The file may not be read: check its permissions.", { cause });
}

async function isLink(path: string): Promise<boolean> {
  return await lstat(path).then(
    (found) => found.isSymbolicLink(),
    () => false,
  );
}
