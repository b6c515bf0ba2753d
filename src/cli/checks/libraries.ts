/** The C and C++ libraries of the host, and our native libraries on top of them. */
import { messageOf } from "../../errors.ts";
import { type Check, fail, ok } from "./check.ts";

/**
 * The newest symbol versions that the native libraries of the executable ask for; a test reads them from
 * the libraries themselves.
 */
export const neededVersions = { GLIBC: "2.28", GLIBCXX: "3.4.22", CXXABI: "1.3.11" } as const;

/** What the host has. */
export interface HostLibraries {
  /** `gnu_get_libc_version()`; undefined where C's library is not glibc. */
  readonly glibcVersion: () => string | undefined;
  /** Content of `libstdc++.so.6`, as the loader finds it; undefined where it does not. */
  readonly libstdcxx: () => Promise<Uint8Array | undefined>;
}

export function glibcCheck({ glibcVersion }: HostLibraries): Check {
  const needed = neededVersions.GLIBC;
  return {
    name: "glibc",
    run: () => {
      const version = glibcVersion();
      const mend = `glibc ${needed} or newer is needed: Debian 10, Ubuntu 20.04, RHEL 8 and later have it`;
      if (version === undefined) return fail("there is no glibc", mend);
      return Bun.semver.order(padded(version), padded(needed)) < 0
        ? fail(version, mend)
        : ok(version);
    },
  };
}

export function libstdcxxCheck({ libstdcxx }: HostLibraries): Check {
  return {
    name: "libstdc++",
    run: async () => {
      const bytes = await libstdcxx();
      if (bytes === undefined) {
        return fail("libstdc++.so.6 is not found", "install libstdc++6 and libgcc-s1");
      }
      const offered = newestVersions(bytes, ["GLIBCXX", "CXXABI"]);
      const found = Object.entries(offered).map(([name, version]) => `${name}_${version}`);
      const missing = (["GLIBCXX", "CXXABI"] as const).filter(
        (name) => Bun.semver.order(padded(offered[name] ?? "0"), padded(neededVersions[name])) < 0,
      );
      if (missing.length === 0) return ok(`up to ${found.join(", ")}`);
      const needed = missing.map((name) => `${name}_${neededVersions[name]}`).join(", ");
      return fail(
        `only up to ${found.join(", ")}`,
        `${needed} is needed: install a newer libstdc++6`,
      );
    },
  };
}

/** @param load loads every native library, as the service does; says how, or throws with a sentence and its mend. */
export function nativeLibrariesCheck(load: () => string): Check {
  return {
    name: "native libraries",
    run: () => {
      try {
        return ok(load());
      } catch (error) {
        return fail(messageOf(error), "the service does not start until they load");
      }
    },
  };
}

/**
 * The newest version that a library names for each family of symbol versions, whether it needs or
 * offers it.
 *
 * @param library content of an ELF file: the versions stand in its string table, each closed by a zero byte.
 */
export function newestVersions(
  library: Uint8Array,
  families: readonly string[],
): Readonly<Record<string, string>> {
  const text = Buffer.from(library.buffer, library.byteOffset, library.length).toString("latin1");
  const newest: Record<string, string> = {};
  for (const [, family = "", version = ""] of text.matchAll(/\0([A-Z]+)_(\d+(?:\.\d+)+)(?=\0)/g)) {
    if (!families.includes(family)) continue;
    const known = newest[family];
    if (known === undefined || Bun.semver.order(padded(version), padded(known)) > 0) {
      newest[family] = version;
    }
  }
  return newest;
}

/** `2.28` as semver's three numbers. */
function padded(version: string): string {
  return [...version.split("."), "0", "0"].slice(0, 3).join(".");
}
