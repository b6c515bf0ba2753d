/** Images in a downloads folder, of any age. */
import { utimes } from "node:fs/promises";
import { join } from "node:path";

/**
 * Puts a file where a kept image would be.
 *
 * @param seed what the file holds, and so its digest.
 * @returns its name, `<sha256>.<format>`.
 */
export async function putImage(
  directory: string,
  seed: string,
  { ageMs = 0, format = "jpg" }: { readonly ageMs?: number; readonly format?: string } = {},
): Promise<string> {
  const name = `${Bun.SHA256.hash(seed, "hex")}.${format}`;
  await putFile(directory, name, seed, ageMs);
  return name;
}

/** Puts a file of any name there. */
export async function putFile(
  directory: string,
  name: string,
  text: string,
  ageMs: number,
): Promise<void> {
  const path = join(directory, name);
  await Bun.write(path, text);
  const changed = new Date(Date.now() - ageMs);
  await utimes(path, changed, changed);
}
