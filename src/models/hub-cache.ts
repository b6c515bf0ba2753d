/** Where the hub's own clients keep what they have downloaded. */
import { join } from "node:path";
import type { HubFile } from "./catalog.ts";

/** HF_HUB_CACHE, HF_HOME, XDG_CACHE_HOME and HOME, as the process got them; others do not matter. */
export type HubCacheVariables = Readonly<Record<string, string | undefined>>;

/**
 * Path of a file in the user's Hugging Face cache, whether it is there or not.
 *
 * @returns undefined for a user without a home.
 * @see https://huggingface.co/docs/huggingface_hub/guides/manage-cache
 */
export function hubCachePath(variables: HubCacheVariables, file: HubFile): string | undefined {
  const { HF_HUB_CACHE, HF_HOME, XDG_CACHE_HOME, HOME } = variables;
  const userCache = XDG_CACHE_HOME || (HOME && join(HOME, ".cache"));
  const home = HF_HOME || (userCache && join(userCache, "huggingface"));
  const cache = HF_HUB_CACHE || (home && join(home, "hub"));
  return cache && pathIn(cache, file);
}

/** Path of a file in a folder that has the layout of that cache. */
export function pathIn(cache: string, { repository, revision, path }: HubFile): string {
  return join(cache, `models--${repository.replaceAll("/", "--")}`, "snapshots", revision, path);
}
