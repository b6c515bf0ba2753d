/** The files of a folder, and which of them are images. */
import { readdir, stat } from "node:fs/promises";
import { extname, join } from "node:path";
import { codeOf } from "../errors.ts";
import { signatureBytes, sniffFormat } from "../image/signature.ts";

/** What a folder holds: a file, or something that this user may not look into. */
export type FolderEntry =
  | { readonly kind: "file"; readonly path: string }
  | { readonly kind: "unreadable"; readonly path: string };

/**
 * Every regular file under a folder, by name, folder by folder. Links to files are followed, and those that
 * lead nowhere are files that cannot be read; links to folders are not, since they may lead in a circle.
 *
 * @param folder comes in front of every path.
 * @param depth how many folders deep a file may lie, this one counted; any depth unless told.
 */
export async function* walkFiles(
  folder: string,
  depth = Number.POSITIVE_INFINITY,
): AsyncGenerator<FolderEntry> {
  const entries = await readdir(folder, { withFileTypes: true }).catch(() => undefined);
  if (entries === undefined) {
    yield { kind: "unreadable", path: folder };
    return;
  }
  entries.sort((a, b) => (a.name < b.name ? -1 : 1));
  for (const entry of entries) {
    const path = join(folder, entry.name);
    if (entry.isDirectory()) {
      if (depth > 1) yield* walkFiles(path, depth - 1);
    } else if (entry.isFile() || (entry.isSymbolicLink() && (await mayBeFile(path)))) {
      yield { kind: "file", path };
    }
  }
}

/** Whether there is a folder under this path. */
export async function isFolder(path: string): Promise<boolean> {
  return await stat(path).then(
    (found) => found.isDirectory(),
    () => false,
  );
}

const imageExtensions = [
  ...[".jpg", ".jpeg", ".png", ".webp", ".gif", ".avif", ".tif", ".tiff"],
  ...[".heic", ".bmp"],
];

/** Whether a file's name says that it is an image, of a format that is decoded or of another. */
export function hasImageName(path: string): boolean {
  return imageExtensions.includes(extname(path).toLowerCase());
}

/**
 * Whether a file is an image that is decoded, by its first bytes. One that may not be read may be one; a link
 * that leads nowhere is none.
 */
export async function isImageFile(path: string): Promise<boolean> {
  try {
    return typeof sniffFormat(await Bun.file(path).slice(0, signatureBytes).bytes()) === "string";
  } catch (error) {
    return codeOf(error) !== "ENOENT";
  }
}

/** Whether a link leads to a file or nowhere. */
async function mayBeFile(path: string): Promise<boolean> {
  return await stat(path).then(
    (found) => found.isFile(),
    () => true,
  );
}
