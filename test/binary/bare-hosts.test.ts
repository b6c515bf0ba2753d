/** The compiled file on hosts that have little and allow little. */
import { beforeAll, describe, expect, test } from "bun:test";
import { chmod, chown, copyFile, link, mkdir, readdir } from "node:fs/promises";
import { basename, dirname, join } from "node:path";
import { nativeFiles } from "../../src/native/native-files.ts";
import { hostPlatform } from "../../src/release/platform.ts";
import { answerOf, base64Of, postJson } from "../support/client.ts";
import {
  builtExecutable,
  isRoot,
  loadLibraries,
  type RunOptions,
  serveReady,
  withMounts,
} from "../support/executable.ts";
import { leftOut } from "../support/left-out.ts";
import { makePng } from "../support/pictures.ts";
import { testModelsDir } from "../support/service.ts";
import { temporaryFolder } from "../support/tiny-clip.ts";

/** User and group `nobody`. */
const NOBODY = 65_534;
/** glibc, the C++ library and its companion. */
const RUNTIME = /^(ld-linux-\S+|lib(c|m|dl|pthread|rt|resolv|stdc\+\+|gcc_s)\.so\.\d+)$/;

// The synthetic weights are made on first use, by a user who may write them.
beforeAll(async () => {
  await using _service = await serveReady();
});

/** Starts the service and has it embed a picture. */
async function expectVector(options: RunOptions): Promise<void> {
  await using service = await serveReady(options);
  const response = await postJson(
    { url: service.at },
    "/vectorize-image-base64?model=clip-ViT-B-32",
    { image_base64: base64Of(await makePng()) },
  );
  expect((await answerOf(response)).vector).toHaveLength(512);
}

test("as a user without rights and without HOME", async () => {
  if (!isRoot) return leftOut("running as another user: needs root");
  await using place = await temporaryFolder();
  await chmod(place.path, 0o755);
  const own = join(place.path, "own");
  await mkdir(own);
  await chown(own, NOBODY, NOBODY);
  const within = [
    "setpriv",
    `--reuid=${NOBODY}`,
    `--regid=${NOBODY}`,
    "--clear-groups",
    "--no-new-privs",
  ];
  await expectVector({ within, cwd: own, environment: { DOWNLOADS_DIR: "downloads" } });
  expect(await readdir(join(own, "downloads"))).toHaveLength(1);
});

test("without a network", async () => {
  if (!isRoot) return leftOut("a host without network: needs root");
  // Nobody can reach it there; but it has run its model, and says so.
  await using service = await serveReady({ within: ["unshare", "--net"] });
  expect(service.log()).toContain("model ready");
});

test("on a root file system that is read-only", async () => {
  if (!isRoot) return leftOut("a read-only root: needs root");
  await using place = await temporaryFolder();
  const script = 'mount -t tmpfs tmpfs "$1" && mount -o remount,bind,ro / && ! touch / 2>/dev/null';
  await expectVector({
    within: withMounts(script, place.path),
    environment: { DOWNLOADS_DIR: place.path },
  });
});

describe("in a root that has only the C and C++ libraries and /proc", () => {
  test("it embeds a picture", async () => {
    if (!isRoot) return leftOut("a root with little in it: needs root");
    await using place = await temporaryFolder();
    await expectVector(await bareRoot(join(place.path, "root")));
  });

  test("and without the C++ library it says that this one is missing", async () => {
    if (!isRoot) return leftOut("a root with little in it: needs root");
    await using place = await temporaryFolder();
    const { code, complaint } = await loadLibraries(await bareRoot(place.path, /libstdc/));
    expect({ code, complaint }).toEqual({
      code: 1,
      complaint: expect.stringMatching(/libstdc\+\+6.* needed: libstdc\+\+\.so\.6: cannot open/),
    });
  });
});

/** Makes a root, and says how to run the executable in it. */
async function bareRoot(root: string, without = /^$/): Promise<RunOptions> {
  const executable = await builtExecutable();
  for (const folder of ["proc", "models"]) await mkdir(join(root, folder), { recursive: true });
  for (const path of await librariesOf(executable)) {
    if (without.test(path)) continue;
    await mkdir(dirname(join(root, path)), { recursive: true });
    await copyFile(path, join(root, path));
  }
  await link(executable, join(root, "imagesvc"));
  const script = 'mount --bind -o ro "$2" "$1/models" && mount -t proc proc "$1/proc"';
  return {
    within: [...withMounts(script, root, testModelsDir), "chroot", root],
    program: "/imagesvc",
    environment: { MODELS_DIR: "/models", DOWNLOADS_DIR: "/downloads" },
  };
}

/** Paths of the libraries that it and its native files are linked to, which are none but those of the C and C++ runtime. */
async function librariesOf(executable: string): Promise<string[]> {
  const files = [executable, ...nativeFiles(hostPlatform()).values()];
  const linked = await Bun.$`ldd ${files}`.text();
  const paths = [...linked.matchAll(/(\/\S+) \(0x/g)].map(([, path]) => path ?? "");
  const needed = new Set(paths.filter((path) => !path.includes("/node_modules/")));
  for (const path of needed) expect(basename(path)).toMatch(RUNTIME);
  return [...needed];
}
