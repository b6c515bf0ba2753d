import { readdirSync } from "node:fs";
import { join, resolve } from "node:path";

/** A file of the repository. */
export interface SourceFile {
  /** Path from the repository's root, such as `src/limits.ts`. */
  readonly path: string;
  readonly text: string;
}

/** Absolute path of the repository. */
export const repositoryRoot = resolve(import.meta.dir, "../..");

/** Reads every TypeScript module under the given folders of the repository; declarations are none. */
export function readSourceFiles(folders: readonly string[]): Promise<SourceFile[]> {
  const paths = folders.flatMap((folder) => [
    ...new Bun.Glob(`${folder}/**/*.{ts,tsx}`).scanSync(repositoryRoot),
  ]);
  const modules = paths.filter((path) => !path.endsWith(".d.ts")).sort();
  return Promise.all(
    modules.map(async (path) => ({
      path,
      text: await Bun.file(join(repositoryRoot, path)).text(),
    })),
  );
}

/** Names of the files and folders at the top of the repository. */
export function topLevelNames(): string[] {
  return readdirSync(repositoryRoot);
}
