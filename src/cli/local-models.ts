/** The models of a manifest, as the commands under `models` see them. */
import type { Models } from "../models/catalog.ts";
import { type InstalledModel, installedModel } from "../models/installed-model.ts";
import type { CommandCall } from "./command-call.ts";

/** Every model of a manifest, on this host. */
export function localModels(
  { environment, folders }: CommandCall,
  models: Models,
): readonly InstalledModel[] {
  return Object.entries(models).map(([id, description]) =>
    installedModel(folders.models, environment, id, description),
  );
}

/** The model that is named; that of CLIP_MODEL, or the first, where none is. Undefined after it was said that there is none. */
export function chosenModel(
  call: CommandCall,
  models: Models,
  named: string | undefined = call.operands[0],
): InstalledModel | undefined {
  const all = localModels(call, models);
  if (named === undefined) return all.find(({ id }) => id === call.config.CLIP_MODEL) ?? all[0];
  const chosen = all.find(({ id }) => id === named);
  if (chosen === undefined) {
    const ids = all.map(({ id }) => id).join(", ");
    call.tell(`imagesvc: there is no model "${named.slice(0, 80)}": there are ${ids}`);
  }
  return chosen;
}
