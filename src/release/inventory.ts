/** Everything that an executable is made from, with its licences. */
import { readdir } from "node:fs/promises";
import { join } from "node:path";
import {
  type LinkedLibrary,
  librariesOfBun,
  librariesOfLibvips,
  librariesOfOnnxruntime,
} from "./linked-libraries.ts";
import { type LockedPackage, lockedPackages } from "./lockfile.ts";
import type { Platform } from "./platform.ts";

/** A text about licences, as a package ships it. */
interface LicenseText {
  /** Name of its file. */
  readonly name: string;
  readonly text: string;
}

/** A package inside the executable. */
export interface Component {
  readonly name: string;
  readonly version: string;
  /** An SPDX expression. */
  readonly license: string;
  /** Digest of the package's archive, as Subresource Integrity has it; absent for the Bun that builds. */
  readonly integrity?: string;
  /** Its licence files; none if it ships none. */
  readonly texts: readonly LicenseText[];
  /** Libraries that are linked into it. */
  readonly libraries: readonly LinkedLibrary[];
}

/** Packages that the build leaves out. piscina loads this one only to lower a thread's priority. */
export const leftOutPackages: readonly string[] = ["@napi-rs/nice"];

const BUN_FOR_ARM64 = "@oven/bun-linux-aarch64";

/** Which files of a package tell of its licence. */
const LICENSE_FILE =
  /(^|[.-])(licen[cs]e|copying|notice|thirdpartynotices)(\.(md|txt))?(-[\w-]+)?$/i;

/**
 * Lists the packages that an executable is made from. Some bring only types, and nothing of them is inside.
 *
 * @param root absolute path of the repository.
 * @returns in the order of their names, Bun first.
 * @throws Error naming a package whose licence is not known.
 */
export async function readInventory(root: string, platform: Platform): Promise<Component[]> {
  const packages = lockedPackages(await Bun.file(join(root, "bun.lock")).text(), {
    cpu: platform.arch,
    without: leftOutPackages,
  });
  const pinnedBun = packages.find(({ name }) => name === BUN_FOR_ARM64);
  const others = packages.filter((locked) => locked !== pinnedBun);
  return Promise.all([
    readBun(root, pinnedBun?.integrity),
    ...others.map((locked) => readPackage(locked, platform)),
  ]);
}

/**
 * Reads what an installed package says of its licence.
 *
 * @throws Error if it says nothing.
 */
export async function readPackage(
  { name, version, integrity, folder }: LockedPackage,
  platform: Platform,
): Promise<Component> {
  const place = join(platform.modules, folder);
  const { license } = await Bun.file(join(place, "package.json")).json();
  if (typeof license !== "string" || /^(|UNLICENSED|SEE LICENSE IN .*)$/.test(license)) {
    throw new Error(
      `${name} ${version} names no licence: it must not be built in before one is known`,
    );
  }
  const files = (await readdir(place)).filter((file) => LICENSE_FILE.test(file)).sort();
  if (name.startsWith("@img/sharp-libvips-")) files.push("README.md");
  const texts = await Promise.all(files.map((file) => readText(place, file)));
  const libraries = await librariesOf(name, place, platform);
  return { name, version, license, integrity, texts, libraries };
}

async function librariesOf(
  name: string,
  place: string,
  { arch }: Platform,
): Promise<LinkedLibrary[]> {
  if (name === "onnxruntime-node") return librariesOfOnnxruntime(arch);
  if (!name.startsWith("@img/sharp-libvips-")) return [];
  const { text } = await readText(place, "README.md");
  return librariesOfLibvips(text, await Bun.file(join(place, "versions.json")).json());
}

/** Bun has no notices of its own in its package; those of its types describe it, in the same version. */
async function readBun(root: string, integrity: string | undefined): Promise<Component> {
  const types = join(root, "node_modules/bun-types");
  const { version } = await Bun.file(join(types, "package.json")).json();
  if (version !== Bun.version) {
    throw new Error(`bun-types is ${version}, and Bun ${Bun.version}: make them one version`);
  }
  const page = await readText(types, "docs/project/license.mdx");
  const bun = { name: "bun", version: Bun.version, license: "MIT", texts: [page] };
  const libraries = librariesOfBun(page.text);
  return integrity === undefined ? { ...bun, libraries } : { ...bun, integrity, libraries };
}

async function readText(folder: string, name: string): Promise<LicenseText> {
  return { name, text: await Bun.file(join(folder, name)).text() };
}
