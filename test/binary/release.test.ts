/** What `bun run release` makes: one run, whose tarballs all tests here unpack. */
import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { chmod, mkdir, mkdtemp, readdir, rm, stat, utimes } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { Spec, Validation } from "@cyclonedx/cyclonedx-library";
import { version } from "../../package.json" with { type: "json" };
import { buildExecutable } from "../../src/native/build.ts";
import { nativeFiles } from "../../src/native/native-files.ts";
import { hostPlatform, installArm64, type Platform } from "../../src/release/platform.ts";
import { packFolder } from "../../src/release/tarball.ts";
import { findElfImages } from "../support/elf-images.ts";
import { runMain } from "../support/process.ts";
import { repositoryRoot } from "../support/source-files.ts";

const place = await mkdtemp(join(tmpdir(), "imagesvc-release-"));
afterAll(() => rm(place, { recursive: true, force: true }));

const architectures = ["x64", "arm64"] as const;
type Architecture = (typeof architectures)[number];

const platforms: Readonly<Record<Architecture, () => Platform | Promise<Platform>>> = {
  x64: () => hostPlatform(),
  arm64: () => installArm64(),
};
const machines: Readonly<Record<Architecture, number>> = { x64: 62, arm64: 183 };

function nameOf(arch: Architecture): string {
  return `imagesvc-${version}-linux-${arch}`;
}

/** What tar told of each tarball while unpacking it. */
const listings = new Map<Architecture, string>();

/** Path of a file that was unpacked. */
function unpacked(arch: Architecture, name: string): string {
  return join(place, nameOf(arch), name);
}

/** Runs a program in the release's folder, or in one below it. */
async function run(command: string[], folder = "") {
  const child = Bun.spawn(command, {
    cwd: join(place, folder),
    env: { PATH: Bun.env["PATH"] ?? "", LC_ALL: "C", TZ: "UTC" },
    stdout: "pipe",
    stderr: "pipe",
  });
  const [output, errors, code] = await Promise.all([
    child.stdout.text(),
    child.stderr.text(),
    child.exited,
  ]);
  return { output, errors, code };
}

async function sha256(path: string): Promise<string> {
  return (await run(["sha256sum", path])).output.slice(0, 64);
}

beforeAll(async () => {
  const release = Bun.spawn([process.execPath, "src/release/release.ts", place], {
    cwd: repositoryRoot,
    stdout: "ignore",
  });
  expect(await release.exited).toBe(0);
  for (const arch of architectures) {
    const unpack = ["tar", "-xvv", "--numeric-owner", "--full-time", "-zf"];
    const { code, output } = await run([...unpack, `${nameOf(arch)}.tar.gz`]);
    expect(code).toBe(0);
    listings.set(arch, output);
  }
}, 120_000);

test("the tarballs have the digests beside them, and there is nothing else", async () => {
  const tarballs = architectures.map((arch) => `${nameOf(arch)}.tar.gz`);
  const folders = architectures.map(nameOf);
  expect((await readdir(place)).sort()).toEqual([...tarballs, ...folders, "SHA256SUMS"].sort());
  const { code, output } = await run(["sha256sum", "--check", "--strict", "SHA256SUMS"]);
  expect({ code, lines: output.trim().split("\n").sort() }).toEqual({
    code: 0,
    lines: tarballs.map((name) => `${name}: OK`).sort(),
  });
});

describe.each(architectures)("the tarball for %s", (arch) => {
  const promised = [
    ...["INSTALL.md", "LICENSE", "NOTICES", "SHA256SUMS"],
    ...["imagesvc", "imagesvc.cdx.json", "imagesvc.service"],
  ];

  test("has what is promised in one folder, in order, all of it root's and of one time", () => {
    const lines = (listings.get(arch) ?? "").trim().split("\n");
    const rows = lines.map((line) => line.split(/\s+/));
    const names = rows.map((row) => row.at(-1));
    expect(names).toEqual([
      `${nameOf(arch)}/`,
      ...promised.map((name) => `${nameOf(arch)}/${name}`),
    ]);
    for (const [index, [mode, owner]] of rows.entries()) {
      const isProgram = names[index]?.endsWith("/imagesvc");
      expect(owner).toBe("0/0");
      expect(mode).toBe(index === 0 ? "drwxr-xr-x" : isProgram ? "-rwxr-xr-x" : "-rw-r--r--");
    }
    expect(new Set(rows.map(([, , , day, time]) => `${day} ${time}`)).size).toBe(1);
  });

  test("has the digests of its files", async () => {
    const check = ["sha256sum", "--check", "--strict", "SHA256SUMS"];
    const { code, output } = await run(check, nameOf(arch));
    expect({ code, files: output.trim().split("\n").length }).toEqual({
      code: 0,
      files: promised.length - 1,
    });
  });

  test("has a bill of materials of CycloneDX's shape, with every package's licence and digest", async () => {
    const text = await Bun.file(unpacked(arch, "imagesvc.cdx.json")).text();
    const validator = new Validation.JsonStrictValidator(Spec.Version.v1dot6);
    expect(await validator.validate(text)).toBeNull();
    const bill = JSON.parse(text);
    expect(bill.metadata.component).toMatchObject({ name: "imagesvc", version });
    const urls = bill.components.map(({ purl }: { purl: string }) => purl).join("\n");
    expect(urls).toContain(`pkg:npm/%40img/sharp-libvips-linux-${arch}@`);
    expect(urls).toContain("pkg:npm/onnxruntime-node@1.");
    expect(urls).toContain(`@${Bun.version}`);
    expect(urls).not.toContain(arch === "x64" ? "arm64" : "x64");
    for (const { name, hashes, licenses } of bill.components) {
      expect({ name, licensed: licenses.length }).toEqual({ name, licensed: 1 });
      // The Bun that builds did not come through the lock file.
      if (name !== "bun") expect(hashes[0].content).toMatch(/^[0-9a-f]{128}$/);
    }
  });
});

describe.each(architectures)("the executable for %s", (arch) => {
  test("has native libraries for its own processor, whole, and none for another", async () => {
    const bytes = Buffer.from(await Bun.file(unpacked(arch, "imagesvc")).arrayBuffer());
    expect(bytes.length).toBeLessThan(200_000_000);
    const images = findElfImages(bytes);
    expect(images[0]?.offset).toBe(0);
    expect(new Set(images.map(({ machine }) => machine))).toEqual(new Set([machines[arch]]));
    const offsets = new Set(images.map(({ offset }) => offset));
    const files = nativeFiles(await platforms[arch]());
    expect(files.size).toBe(4);
    for (const [name, path] of files) {
      const library = Buffer.from(await Bun.file(path).arrayBuffer());
      expect({ name, isInside: offsets.has(bytes.indexOf(library)) }).toEqual({
        name,
        isInside: true,
      });
    }
  });

  test("names no path of the machine that built it", async () => {
    const bytes = Buffer.from(await Bun.file(unpacked(arch, "imagesvc")).arrayBuffer());
    for (const path of [join(repositoryRoot, "/"), place]) expect(bytes.indexOf(path)).toBe(-1);
  });

  test("is made again by another build, byte by byte", async () => {
    const again = join(place, "again");
    const { notices } = await buildExecutable(again, await platforms[arch]());
    try {
      expect(await sha256(again)).toBe(await sha256(unpacked(arch, "imagesvc")));
      expect(notices).toBe(await Bun.file(unpacked(arch, "NOTICES")).text());
    } finally {
      await rm(again);
    }
  }, 60_000);
});

describe("the executable for this processor", () => {
  test("tells the versions of what is inside, as from source", async () => {
    const { code, output } = await run(["./imagesvc", "--version"], nameOf("x64"));
    expect(code).toBe(0);
    expect(output).toBe((await runMain(["--version"])).output);
  });

  test("prints the notices, the same as from source and as beside it", async () => {
    const { code, output } = await run(["./imagesvc", "licenses"], nameOf("x64"));
    expect(code).toBe(0);
    expect(output).toBe(await Bun.file(unpacked("x64", "NOTICES")).text());
    expect(output).toBe((await runMain(["licenses"])).output);
  });

  test("says nothing to a reader who has read enough", async () => {
    const { code, output, errors } = await run(
      ["sh", "-c", "./imagesvc licenses | head -n 1"],
      nameOf("x64"),
    );
    expect({ code, output, errors }).toEqual({
      code: 0,
      output: "THIRD-PARTY NOTICES\n",
      errors: "",
    });
  });
});

test("an archive depends on names, content and modes alone, not on when and how they were written", async () => {
  const digests: string[] = [];
  for (const [names, time] of [
    [["b", "a"], 1],
    [["a", "b"], 2_000_000_000],
  ] as const) {
    const folder = join(place, `archive-${time}`, "top");
    await mkdir(folder, { recursive: true });
    for (const name of names) {
      await Bun.write(join(folder, name), name);
      await chmod(join(folder, name), 0o644);
      await utimes(join(folder, name), time, time);
    }
    const tarball = join(place, `archive-${time}`, "top.tar.gz");
    await packFolder(folder, tarball, 1_600_000_000);
    expect((await stat(tarball)).size).toBeGreaterThan(0);
    digests.push(await sha256(tarball));
  }
  expect(new Set(digests).size).toBe(1);
});
