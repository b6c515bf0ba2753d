/** The files of a folder, and which of them are images. */
import { readdir, stat } from "node:fs/promises";
import { join } from "node:path";
import { signatureBytes, sniffFormat } from "../image/signature.ts";

/** What a folder holds: a file, or something that this user may not look into. */
export type FolderEntry =
  | { readonly kind: "file"; readonly path: string }
  | { readonly kind: "unreadable"; readonly path: string };

/**
 * Every regular file under a folder, by name, folder by folder. Links to files are followed; links to
 * folders are not, since they may lead in a circle.
 *
 * @param folder comes in front of every path.
 */
export async function* walkFiles(folder: string): AsyncGenerator<FolderEntry> {
  const entries = await readdir(folder, { withFileTypes: true }).catch(() => undefined);
  if (entries === undefined) {
    yield { kind: "unreadable", path: folder };
    return;
  }
  entries.sort((a, b) => (a.name < b.name ? -1 : 1));
  for (const entry of entries) {
    const path = join(folder, entry.name);
    if (entry.isDirectory()) yield* walkFiles(path);
    else if (entry.isFile() || (entry.isSymbolicLink() && (await isFile(path)))) {
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

/** Whether a file is an image that is decoded, by its first bytes; one that cannot be read may be one. */
export async function isImageFile(path: string): Promise<boolean> {
  try {
    return typeof sniffFormat(await Bun.file(path).slice(0, signatureBytes).bytes()) === "string";
  } catch {
    return true;
  }
}

async function isFile(path: string): Promise<boolean> {
  return await stat(path).then(
    (found) => found.isFile(),
    () => false,
  );
}
