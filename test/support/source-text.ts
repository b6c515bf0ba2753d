/** Reads just enough TypeScript, formatted as in this repository, for rules about it. */
import { posix } from "node:path";

/** Leaves out comments, so that they may speak of what the code may not do. */
export function withoutComments(text: string): string {
  return text.replaceAll(/(^|\s)\/\*[\s\S]*?\*\//g, "$1").replaceAll(/(^|\s)\/\/.*$/gm, "$1");
}

/**
 * Finds what a module imports: values, types, re-exports and what it loads while it runs.
 *
 * @returns specifiers as written, such as `../errors.ts` or `node:fs`.
 */
export function importsOf(text: string): string[] {
  const code = withoutComments(text);
  const statements = code.matchAll(
    /^(?:import\b|export (?:type )?[*{][^"'`;]*?\bfrom\b)[^"'`;(]*?"([^"\n]+)"/gm,
  );
  const calls = code.matchAll(/\b(?:import|require)\(\s*["'`]([^"'`]+)["'`]/g);
  return [...statements, ...calls].flatMap(([, specifier]) => specifier ?? []);
}

/**
 * @param path of the importing file, from the repository's root.
 * @returns the path that a relative specifier names, or undefined if it names a package.
 */
export function resolveImport(path: string, specifier: string): string | undefined {
  if (!specifier.startsWith(".")) return undefined;
  return posix.normalize(posix.join(posix.dirname(path), specifier));
}
