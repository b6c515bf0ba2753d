/** Where the service writes. */
import { join } from "node:path";
import type { Config } from "../config.ts";

/** Folders that the service and its commands write to. */
export interface Folders {
  readonly models: string;
  readonly downloads: string;
  /** What can be made again. */
  readonly cache: string;
}

/** What decides about them beside the settings. */
export interface FolderSurroundings {
  /** The process's variables: systemd's folders (each the first of a list that colons part), HOME, XDG_CACHE_HOME. */
  readonly environment: Readonly<Record<string, string | undefined>>;
  /** Folder for temporary files: the cache's place for a user without a home. */
  readonly temporary: string;
  readonly userId: number;
}

/**
 * Each folder by its own setting, else by systemd's, else in the working folder (models and downloads, as
 * the original services did) or in the user's cache folder.
 */
export function foldersOf(config: Config, surroundings: FolderSurroundings): Folders {
  const { environment } = surroundings;
  const state = firstOf(environment["STATE_DIRECTORY"]) ?? ".";
  return {
    models: config.MODELS_DIR || join(state, "models"),
    downloads: config.DOWNLOADS_DIR || join(state, "downloads"),
    cache: config.CACHE_DIR || firstOf(environment["CACHE_DIRECTORY"]) || userCache(surroundings),
  };
}

/** XDG Base Directory Specification 0.8: a relative path counts as none. */
function userCache({ environment, temporary, userId }: FolderSurroundings): string {
  const { XDG_CACHE_HOME: cache, HOME: home } = environment;
  if (cache?.startsWith("/")) return join(cache, "imagesvc");
  if (home?.startsWith("/")) return join(home, ".cache/imagesvc");
  return join(temporary, `imagesvc-${userId}`);
}

function firstOf(list: string | undefined): string | undefined {
  return list?.split(":", 1)[0] || undefined;
}
