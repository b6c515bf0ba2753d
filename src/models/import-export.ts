/** Takes a published pair of ONNX files from a folder. */
import { basename } from "node:path";
import type { InstalledExport, InstalledModel } from "./installed-model.ts";
import { findWeights, placeCopy, placesIn } from "./weights.ts";

/**
 * Takes both files, once both are there and right.
 *
 * @returns one sentence about why not; undefined once both are in their place.
 * @throws the signal's reason; Error of the file system.
 */
export async function importExport(
  folder: string,
  { id }: InstalledModel,
  published: InstalledExport,
  signal: AbortSignal,
): Promise<string | undefined> {
  const { files, image, text, repository, revision } = published;
  const pairs = [
    { target: files.imageTower, ...image },
    { target: files.textTower, ...text },
  ];
  const found = await Promise.all(
    pairs.map(async (one) => {
      const { path, bytes } = one;
      const places = placesIn(folder, id, { repository, revision, path });
      return { ...one, from: await findWeights(places, { bytes }) };
    }),
  );
  const lacking = found.filter(({ from }) => from === undefined).map(({ path }) => basename(path));
  if (lacking.length > 0) return `there is no ${lacking.join(" and no ")} of the published length`;
  for (const { from, target, bytes, sha256 } of found) {
    const fault = await placeCopy(from ?? "", target, { bytes, sha256 }, signal);
    if (fault !== undefined) return fault;
  }
  return undefined;
}
