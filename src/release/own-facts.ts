import { builtIn } from "./built-in.ts";
import { type BuildFacts, readFacts } from "./facts.ts";
import { hostPlatform, sourceRoot } from "./platform.ts";

/**
 * What this program is made of, whether it runs from its executable or from source.
 *
 * @throws Error from source, if a native package is not installed.
 */
export async function ownFacts(): Promise<BuildFacts> {
  return builtIn?.facts ?? (await readFacts(sourceRoot, hostPlatform()));
}
