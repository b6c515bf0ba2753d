/** Makes the release's files: `bun src/release/release.ts [folder]`, by default `dist`. */
import { chmod, copyFile, mkdir, mkdtemp, readdir, rm } from "node:fs/promises";
import { join, resolve } from "node:path";
import { buildExecutable } from "../native/build.ts";
import { readCommitTime, readFacts } from "./facts.ts";
import { hostPlatform, installArm64, type Platform, sourceRoot } from "./platform.ts";
import { writeSbom } from "./sbom.ts";
import { packFolder, writeDigests } from "./tarball.ts";

/** Files that are taken as they are. */
const SOURCES = ["systemd/imagesvc.service", "systemd/INSTALL.md", "LICENSE"];

/**
 * Makes a tarball a system, and `SHA256SUMS` beside them. The same commit makes the same bytes.
 *
 * @param folder absolute path; made if it is not there.
 * @returns names of the tarballs.
 * @throws Error naming what is missing on the host, or wrong with the program.
 */
async function makeRelease(folder: string): Promise<string[]> {
  const host = hostPlatform();
  if (host.arch !== "x64") throw new Error("a release is made on x64: only arm64 is built across");
  await mkdir(folder, { recursive: true });
  const platforms = [host, await installArm64()];
  const tarballs = await Promise.all(platforms.map((platform) => makeTarball(folder, platform)));
  await writeDigests(folder, tarballs);
  return tarballs;
}

async function makeTarball(folder: string, platform: Platform): Promise<string> {
  const { arch } = platform;
  const [facts, commitTime] = await Promise.all([
    readFacts(sourceRoot, platform),
    readCommitTime(sourceRoot),
  ]);
  const name = `imagesvc-${facts.version}-linux-${arch}`;
  const place = await mkdtemp(join(folder, ".release-"));
  try {
    const content = join(place, name);
    await mkdir(content);
    const executable = join(content, "imagesvc");
    const { components, notices } = await buildExecutable(executable, platform);
    const sbom = writeSbom({ facts, arch, components, commitTime });
    await Promise.all([
      Bun.write(join(content, "NOTICES"), notices),
      Bun.write(join(content, "imagesvc.cdx.json"), sbom),
      ...SOURCES.map((path) =>
        copyFile(join(sourceRoot, path), join(content, path.split("/").at(-1) ?? path)),
      ),
    ]);
    await writeDigests(content, await readdir(content));
    for (const file of await readdir(content)) await chmod(join(content, file), 0o644);
    for (const path of [content, executable]) await chmod(path, 0o755);
    await packFolder(content, join(folder, `${name}.tar.gz`), commitTime);
  } finally {
    await rm(place, { recursive: true, force: true });
  }
  return `${name}.tar.gz`;
}

if (import.meta.main) {
  const folder = resolve(process.argv[2] ?? join(sourceRoot, "dist"));
  for (const name of await makeRelease(folder)) process.stdout.write(`${join(folder, name)}\n`);
}
