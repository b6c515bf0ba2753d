import type { BuildFacts } from "./facts.ts";

/** What the build has written down, for the executable has no source tree to read it from. */
interface BuiltIn {
  readonly facts: BuildFacts;
  /** Path of the third-party notices inside the executable. */
  readonly notices: string;
}

/** Nothing from source: the build puts a module of its own in this one's place (`build-plugin.ts`). */
export const builtIn: BuiltIn | undefined = undefined;
