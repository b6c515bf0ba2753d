/** Which packages the program is made from, as `bun.lock` pins them. */

/** A package of the lock file. */
export interface LockedPackage {
  readonly name: string;
  readonly version: string;
  /** Digest of the package's archive, as Subresource Integrity has it: `sha512-…` in base64. */
  readonly integrity: string;
  /** Its folder inside `node_modules`. */
  readonly folder: string;
}

/** The packages of one kind of system, in npm's words. */
interface Selection {
  readonly cpu: string;
  /** Names that are not followed, nor what only they need. */
  readonly without: readonly string[];
}

/** What is read of a lock file (version 2); https://bun.com/docs/pm/lockfile. */
interface Lockfile {
  readonly workspaces: { readonly "": Needs };
  readonly packages: Readonly<Record<string, readonly [string, string, Entry, string]>>;
}

interface Needs {
  readonly dependencies?: Readonly<Record<string, string>>;
  readonly optionalDependencies?: Readonly<Record<string, string>>;
  readonly peerDependencies?: Readonly<Record<string, string>>;
  readonly optionalPeers?: readonly string[];
}

interface Entry extends Needs {
  readonly os?: string | readonly string[];
  readonly cpu?: string | readonly string[];
  readonly libc?: string | readonly string[];
}

/**
 * Follows the production dependencies of the program, on Linux with glibc.
 *
 * @param text of `bun.lock`.
 * @returns every package once, in the order of their folders.
 * @throws Error if it is of a version that is not known, or lacks a package that is needed.
 */
export function lockedPackages(text: string, selection: Selection): LockedPackage[] {
  const lock = parse(text);
  const found = new Map<string, LockedPackage>();
  const follow = (needs: Needs, from: readonly string[]): void => {
    for (const path of pathsOf(lock, needs, from, selection)) {
      const key = path.join("/");
      const entry = lock.packages[key];
      if (entry === undefined || found.has(key) || !runsOn(entry[2], selection.cpu)) continue;
      const [spec, , details, integrity] = entry;
      const version = spec.slice(spec.lastIndexOf("@") + 1);
      const name = path.at(-1) ?? key;
      found.set(key, { name, version, integrity, folder: path.join("/node_modules/") });
      follow(details, path);
    }
  };
  follow(lock.workspaces[""], []);
  return [...found.values()].sort((a, b) => (a.folder < b.folder ? -1 : 1));
}

/** Where the lock file has what is needed; an optional package may be nowhere. */
function pathsOf(
  lock: Lockfile,
  needs: Needs,
  from: readonly string[],
  { without }: Selection,
): string[][] {
  const { dependencies = {}, optionalDependencies = {}, peerDependencies = {} } = needs;
  const peers = Object.keys(peerDependencies).filter(
    (name) => !needs.optionalPeers?.includes(name),
  );
  const required = [...Object.keys(dependencies), ...peers];
  return [...required, ...Object.keys(optionalDependencies)]
    .filter((name) => !without.includes(name))
    .flatMap((name) => {
      const path = resolve(lock, name, from);
      if (path !== undefined) return [path];
      if (name in optionalDependencies) return [];
      throw new Error(`bun.lock lacks ${name}: run bun install`);
    });
}

/** Looks as Node does: beside what needs it, then in each folder above. */
function resolve(lock: Lockfile, name: string, from: readonly string[]): string[] | undefined {
  for (let depth = from.length; depth >= 0; depth--) {
    const path = [...from.slice(0, depth), name];
    if (lock.packages[path.join("/")] !== undefined) return path;
  }
  return undefined;
}

function runsOn({ os, cpu, libc }: Entry, wanted: string): boolean {
  return allows(os, "linux") && allows(cpu, wanted) && allows(libc, "glibc");
}

function allows(named: string | readonly string[] | undefined, wanted: string): boolean {
  return named === undefined || [named].flat().includes(wanted);
}

function parse(text: string): Lockfile {
  const lock: unknown = Bun.JSONC.parse(text);
  if (!isLockfile(lock)) throw new Error("bun.lock is not of version 2: adapt lockfile.ts");
  return lock;
}

/** Bun made the file, and checks it: the version says its shape. */
function isLockfile(lock: unknown): lock is Lockfile {
  return (
    typeof lock === "object" &&
    lock !== null &&
    "lockfileVersion" in lock &&
    lock.lockfileVersion === 2 &&
    "packages" in lock
  );
}
