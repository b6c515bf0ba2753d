/** The C and C++ libraries that this host has. Linux only. */
import { dlopen } from "bun:ffi";
import { readFile } from "node:fs/promises";
import { openLibc } from "./libc.ts";

/** @returns such as `2.36`; undefined where C's library is not glibc. */
export function glibcVersion(): string | undefined {
  try {
    const { symbols, close } = dlopen("libc.so.6", {
      gnu_get_libc_version: { args: [], returns: "cstring" },
    });
    const version = String(symbols.gnu_get_libc_version());
    close();
    return version;
  } catch {
    return undefined;
  }
}

/**
 * Lets the loader find the C++ library, as it would for a library that needs it.
 *
 * @returns its content, or undefined where there is none.
 */
export async function readLibstdcxx(): Promise<Uint8Array | undefined> {
  const name = "libstdc++.so.6";
  using libc = openLibc();
  if (libc.loadLibrary(name) !== undefined) return undefined;
  const maps = await readFile("/proc/self/maps", "utf8");
  const [path] = /\/\S*\/libstdc\+\+\.so\.6\S*$/m.exec(maps) ?? [];
  return path === undefined ? undefined : await readFile(path);
}
