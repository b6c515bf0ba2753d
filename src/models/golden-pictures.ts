/** Brings the golden pictures onto this host: from a folder, from an earlier time, or from where they were published. */
import { randomUUID } from "node:crypto";
import { mkdir, readdir, rename, rm, stat, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { messageOf, Problem } from "../errors.ts";
import { digestFile } from "./checked-files.ts";
import type { GoldenPicture } from "./golden-inputs.ts";

/** A picture in a file, or one sentence about why it is not to be had. */
export type FoundPicture = { readonly path: string } | { readonly missing: string };

export interface GoldenPictureSource {
  /** A folder that has them, under whatever names; then nothing is fetched. */
  readonly folder: string | undefined;
  /** Where fetched ones are kept; it is made where it is missing. */
  readonly cache: string;
  /** Fetches a URL; undefined where the network is not to be touched. */
  readonly fetchImage: ((url: string, signal: AbortSignal) => Promise<Uint8Array>) | undefined;
}

const otherFile = "what was fetched is another file";

/**
 * Finds or fetches one picture. What is found is checked by its SHA-256.
 *
 * @throws the signal's reason.
 */
export async function obtainPicture(
  source: GoldenPictureSource,
  picture: GoldenPicture,
  signal: AbortSignal,
): Promise<FoundPicture> {
  const { folder, cache, fetchImage } = source;
  const place = folder ?? cache;
  const found = await findIn(place, picture, signal);
  if (found !== undefined) return { path: found };
  if (folder !== undefined) return { missing: "it is not in the folder of --pictures" };
  if (fetchImage === undefined) return { missing: "HF_HUB_OFFLINE forbids to fetch it" };
  try {
    const bytes = await fetchImage(picture.url, signal);
    const sha256 = new Bun.CryptoHasher("sha256").update(bytes).digest("hex");
    if (sha256 !== picture.sha256) return { missing: otherFile };
    return { path: await keep(cache, picture, bytes) };
  } catch (error) {
    signal.throwIfAborted();
    if (error instanceof Problem && error.code === "body-too-large") return { missing: otherFile };
    return { missing: `${messageOf(error)} Or give a folder that has it: --pictures DIR` };
  }
}

async function findIn(
  folder: string,
  { bytes, sha256 }: GoldenPicture,
  signal: AbortSignal,
): Promise<string | undefined> {
  const names = await readdir(folder).catch(() => []);
  for (const name of names.sort()) {
    const path = join(folder, name);
    const facts = await stat(path).catch(() => undefined);
    if (!facts?.isFile() || facts.size !== bytes) continue;
    if ((await digestFile(path, { signal }).catch(() => undefined)) === sha256) return path;
  }
  signal.throwIfAborted();
  return undefined;
}

async function keep(folder: string, { name }: GoldenPicture, bytes: Uint8Array): Promise<string> {
  const path = join(folder, name);
  const temporary = `${path}.${randomUUID()}.tmp`;
  await mkdir(folder, { recursive: true, mode: 0o700 });
  try {
    await writeFile(temporary, bytes);
    await rename(temporary, path);
  } catch (error) {
    await rm(temporary, { force: true });
    throw error;
  }
  return path;
}
