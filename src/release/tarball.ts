/** Archives and digests that depend on the content alone. */
import { basename, dirname, join } from "node:path";

/**
 * Packs a folder: names in order, everything root's, one time for all, no time in gzip's header.
 *
 * @param folder absolute path; its name is the only one at the top of the archive.
 * @param time of every file, in seconds since 1970.
 * @throws Error if the host has no GNU tar or no gzip.
 */
export async function packFolder(folder: string, tarball: string, time: number): Promise<void> {
  const pack = Bun.spawn(
    [
      ...["tar", "--create", "--format=ustar", "--sort=name", `--mtime=@${time}`],
      ...["--owner=root:0", "--group=root:0", "--numeric-owner", "--use-compress-program=gzip -n"],
      ...[`--file=${tarball}`, `--directory=${dirname(folder)}`, basename(folder)],
    ],
    // Neither the language nor TAR_OPTIONS and GZIP of whoever calls has a say.
    {
      env: { PATH: "/usr/local/bin:/usr/bin:/bin", LC_ALL: "C" },
      stdout: "ignore",
      stderr: "pipe",
    },
  );
  const [said, code] = await Promise.all([pack.stderr.text(), pack.exited]);
  if (code !== 0) throw new Error(`a release needs GNU tar and gzip: ${said}`);
}

/**
 * Writes `SHA256SUMS` as sha256sum(1) checks it.
 *
 * @param names of the files in the folder.
 */
export async function writeDigests(folder: string, names: readonly string[]): Promise<void> {
  const lines = await Promise.all(
    [...names].sort().map(async (name) => {
      const digest = new Bun.CryptoHasher("sha256");
      for await (const chunk of Bun.file(join(folder, name)).stream()) digest.update(chunk);
      return `${digest.digest("hex")}  ${name}\n`;
    }),
  );
  await Bun.write(join(folder, "SHA256SUMS"), lines.join(""));
}
