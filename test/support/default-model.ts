/** The model that runs where nobody chooses another. */

import type { WrittenModel } from "../../src/backends/protocol.ts";
import { catalog, knownSource } from "../../src/models/catalog.ts";
import { syntheticFolder } from "../../src/models/prepared.ts";
import { prepareModel } from "../../workers/prepare-model.ts";

const id = "clip-ViT-B-32";
const source = knownSource(catalog[id]);
if (source === undefined) throw new Error("the default model's weights are not known");

/** Its description, with weights that can be told from others. */
export const defaultModel = { id, ...catalog[id], source };

/** Makes its synthetic stand-in, unless it is there already: 605 MB, and 1.1 GB packed; seconds. */
export async function prepareSynthetic(
  directory: string,
): Promise<Exclude<WrittenModel, { readonly unavailable: string }>> {
  const { architecture } = defaultModel;
  const folder = syntheticFolder(directory, id);
  const prepared = await prepareModel({ folder, from: { kind: "seed", architecture } });
  if ("unavailable" in prepared) throw new Error(prepared.unavailable);
  return prepared;
}
