/** The systems that an executable can be made for, and where their packages are. */
import { join, resolve } from "node:path";

/** Processors as Node and npm name them. */
export type Arch = "x64" | "arm64";

/** Absolute path of the repository; only from source. */
export const sourceRoot = resolve(import.meta.dir, "../..");

/** A system that an executable is made for: Linux with glibc on one kind of processor. */
export interface Platform {
  readonly arch: Arch;
  /** Absolute path of the `node_modules` with this system's native packages. */
  readonly modules: string;
  /** Bun's program for this system; absent for the system that builds, whose own Bun is taken. */
  readonly bun?: string;
}

/**
 * The system that runs this, with the packages that are installed in the repository.
 *
 * @throws Error if it is another than those that an executable can be made for.
 */
export function hostPlatform(root = sourceRoot): Platform {
  const { arch, platform } = process;
  if (platform !== "linux" || (arch !== "x64" && arch !== "arm64")) {
    throw new Error(`there is no executable for ${platform}-${arch}: build on Linux, x64 or arm64`);
  }
  return { arch, modules: join(root, "node_modules") };
}

/**
 * Gets the packages of arm64 beside those of this host: the versions of `bun.lock`, each checked against
 * the digest there. They stay in `node_modules/.cache`, so that the next time is quick.
 *
 * @throws Error if a package cannot be had, or is not the one that is pinned.
 */
export async function installArm64(root = sourceRoot): Promise<Platform> {
  const folder = join(root, "node_modules/.cache/imagesvc-linux-arm64");
  for (const name of ["package.json", "bun.lock"]) {
    await Bun.write(join(folder, name), Bun.file(join(root, name)));
  }
  const install = Bun.spawn(
    [
      ...[process.execPath, "install", "--os", "linux", "--cpu", "arm64"],
      ...["--frozen-lockfile", "--production", "--ignore-scripts", "--no-summary"],
    ],
    { cwd: folder, stdout: "ignore", stderr: "pipe" },
  );
  const [said, code] = await Promise.all([install.stderr.text(), install.exited]);
  if (code !== 0) throw new Error(`the packages of linux-arm64 could not be installed: ${said}`);
  const modules = join(folder, "node_modules");
  return { arch: "arm64", modules, bun: join(modules, "@oven/bun-linux-aarch64/bin/bun") };
}
