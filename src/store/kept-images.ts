/** The kept images, as whoever tidies up sees them. Only names that `downloads.ts` gives are ever touched. */

import { lstat, readdir, rename, rm } from "node:fs/promises";
import { join } from "node:path";
import { codeOf } from "../errors.ts";
import type { ImageFormat } from "../image/signature.ts";
import { incomingPath } from "./incoming.ts";

/** A kept image. */
export interface KeptImage {
  /** Lower-case hex digest of its bytes. */
  readonly sha256: string;
  readonly format: ImageFormat;
  readonly sizeBytes: number;
  /** Time of the last request that kept it, ms since 1970. */
  readonly keptAtMs: number;
}

const isFormat: Readonly<Record<ImageFormat, true>> = {
  jpg: true,
  png: true,
  webp: true,
  gif: true,
  avif: true,
  tif: true,
};
const keptName = new RegExp(`^([0-9a-f]{64})\\.(${Object.keys(isFormat).join("|")})$`);

/**
 * Every kept image, in no order. The names are read at once (Bun's `opendir` does the same, and holds the
 * main thread longer: 99 ms against 6 for 300,000), the files are looked at one by one.
 *
 * @throws Error of the file system where the folder cannot be read.
 */
export async function* keptImages(directory: string): AsyncGenerator<KeptImage> {
  for (const name of await readdir(directory)) {
    const image = await keptImage(directory, name);
    if (image !== undefined) yield image;
  }
}

/** Every kept image of these bytes, whatever its format; empty where there is none. */
export async function keptImagesOf(
  directory: string,
  sha256: string,
): Promise<readonly KeptImage[]> {
  const names = Object.keys(isFormat).map((format) => `${sha256}.${format}`);
  const images = await Promise.all(names.map((name) => keptImage(directory, name)));
  return images.filter((image) => image !== undefined);
}

/** How the image is called in its folder. */
export function nameOf({ sha256, format }: KeptImage): string {
  return `${sha256}.${format}`;
}

/**
 * Deletes an image, unless it was kept again since it was looked at. It is moved aside first: whoever
 * keeps it again then either touches it or puts another file in its place before that, which shows in its time, or
 * finds it gone and writes it anew.
 *
 * @returns whether it was deleted.
 */
export async function deleteUnlessKeptAgain(directory: string, image: KeptImage): Promise<boolean> {
  const path = join(directory, nameOf(image));
  const aside = incomingPath(directory);
  try {
    await rename(path, aside);
  } catch (error) {
    if (isMissing(error)) return false;
    throw error;
  }
  try {
    const { mtimeMs } = await lstat(aside);
    if (mtimeMs !== image.keptAtMs) {
      await rename(aside, path);
      return false;
    }
    await rm(aside);
  } catch (error) {
    // A start swept it: it looks as if nobody worked at it.
    if (!isMissing(error)) throw error;
  }
  return true;
}

/** Deletes an image, come what may. @returns whether it was there. */
export async function deleteImage(directory: string, image: KeptImage): Promise<boolean> {
  try {
    await rm(join(directory, nameOf(image)));
    return true;
  } catch (error) {
    if (isMissing(error)) return false;
    throw error;
  }
}

/** What lies under a name, if it is ours: a file itself, not a link to one. */
async function keptImage(directory: string, name: string): Promise<KeptImage | undefined> {
  const [, sha256, format] = keptName.exec(name) ?? [];
  if (sha256 === undefined || format === undefined || !isImageFormat(format)) return undefined;
  try {
    const found = await lstat(join(directory, name));
    if (!found.isFile()) return undefined;
    return { sha256, format, sizeBytes: found.size, keptAtMs: found.mtimeMs };
  } catch (error) {
    if (isMissing(error)) return undefined;
    throw error;
  }
}

function isImageFormat(text: string): text is ImageFormat {
  return Object.hasOwn(isFormat, text);
}

function isMissing(error: unknown): boolean {
  return codeOf(error) === "ENOENT";
}
