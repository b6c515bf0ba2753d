/** Takes a published pair of ONNX files from a folder. */
import { basename } from "node:path";
import type { InstalledExport, InstalledModel } from "./installed-model.ts";
import {
  type CopyTerms,
  findWeights,
  type ImportFault,
  isAnyThere,
  placeCopy,
  placesIn,
} from "./weights.ts";

/**
 * Takes both files, once both are there and right.
 *
 * @returns undefined once both are in their place.
 * @throws the signal's reason; Error of the file system.
 */
export async function importExport(
  folder: string,
  { id }: InstalledModel,
  published: InstalledExport,
  terms: CopyTerms,
): Promise<ImportFault | undefined> {
  const { files, image, text, repository, revision } = published;
  const pairs = [
    { target: files.imageTower, ...image },
    { target: files.textTower, ...text },
  ];
  const found = await Promise.all(
    pairs.map(async (one) => {
      const { path, bytes } = one;
      const places = placesIn(folder, id, { repository, revision, path });
      return { ...one, places, from: await findWeights(places, { bytes }) };
    }),
  );
  const lacking = found.filter(({ from }) => from === undefined).map(({ path }) => basename(path));
  if (lacking.length > 0) {
    const sentence = `there is no ${lacking.join(" and no ")} of the published length`;
    return { sentence, isThere: await isAnyThere(found.flatMap(({ places }) => places)) };
  }
  for (const { from, target, bytes, sha256 } of found) {
    const to = { target, lock: `${published.folder}.lock`, bytes, sha256 };
    const sentence = await placeCopy(from ?? "", to, terms);
    if (sentence !== undefined) return { sentence, isThere: true };
  }
  return undefined;
}
