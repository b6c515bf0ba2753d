/** What `doctor` says of folders, disks and weights. */
import { describe, expect, test } from "bun:test";
import { createHash } from "node:crypto";
import { mkdir, readdir, stat, symlink } from "node:fs/promises";
import { basename, join } from "node:path";
import { type Check, runCheck } from "../../src/cli/checks/check.ts";
import {
  cacheFolderCheck,
  freeSpaceCheck,
  sharedMemoryCheck,
  writableCheck,
} from "../../src/cli/checks/folders.ts";
import {
  missingModelBytes,
  preparedModelCheck,
  weightsCheck,
} from "../../src/cli/checks/weights.ts";
import { checkFile, writeCheckedFiles } from "../../src/models/checked-files.ts";
import { installedModel } from "../../src/models/installed-model.ts";
import { modelFilesIn, preparedFolder } from "../../src/models/prepared.ts";
import { preparedPathsOf, weightsEntry } from "../../src/models/prepared-check.ts";
import { defaultModel } from "../support/default-model.ts";
import { temporaryFolder, tinyClip, writeTinyClip } from "../support/tiny-clip.ts";

const never = new AbortController().signal;
const findingOf = (check: Check) => runCheck(check, never);

function folderCheck(path: string): Check {
  return writableCheck({ name: "models folder", path, setting: "MODELS_DIR" });
}

describe("a folder", () => {
  test("that takes files is ok, and nothing stays in it", async () => {
    await using folder = await temporaryFolder();
    expect(await findingOf(folderCheck(folder.path))).toMatchObject({ status: "ok" });
    expect(await readdir(folder.path)).toEqual([]);
  });

  test("that is not there will be made, and is not made now", async () => {
    await using folder = await temporaryFolder();
    const finding = await findingOf(folderCheck(join(folder.path, "a/b")));
    expect(finding).toMatchObject({ status: "ok", found: expect.stringContaining("will be made") });
    expect(await readdir(folder.path)).toEqual([]);
  });

  test.each(["/dev/null", "/dev/null/models", "/proc/models"])(
    "that cannot be one fails with the setting to change: %s",
    async (path) => {
      expect(await findingOf(folderCheck(path))).toMatchObject({
        status: "fail",
        mend: expect.stringContaining("MODELS_DIR"),
      });
    },
  );

  test("whose link leads in a circle fails with what the system says", async () => {
    await using folder = await temporaryFolder();
    const loop = join(folder.path, "loop");
    await symlink(loop, loop);
    expect(await findingOf(folderCheck(loop))).toMatchObject({
      status: "fail",
      found: expect.stringContaining("ELOOP"),
    });
  });

  test("of the cache matters less, and must let code run", async () => {
    await using folder = await temporaryFolder();
    const statusOf = async (path: string, canRun: boolean) =>
      (await findingOf(cacheFolderCheck(path, () => canRun))).status;
    expect(await statusOf(folder.path, true)).toBe("ok");
    expect(await statusOf(folder.path, false)).toBe("warn");
    expect(await statusOf("/dev/null/cache", true)).toBe("warn");
  });

  test("of shared memory may be missing", async () => {
    await using folder = await temporaryFolder();
    expect((await findingOf(sharedMemoryCheck(folder.path))).status).toBe("ok");
    expect((await findingOf(sharedMemoryCheck(join(folder.path, "shm")))).status).toBe("warn");
  });
});

test("a disk has room or not, also for a folder that is not there yet", async () => {
  await using folder = await temporaryFolder();
  const needing = (neededBytes: number) => {
    const path = join(folder.path, "a/b");
    const otherwise = "images are refused";
    return freeSpaceCheck({ name: "disk", path, setting: "DOWNLOADS_DIR", neededBytes, otherwise });
  };
  expect((await findingOf(needing(1))).status).toBe("ok");
  expect(await findingOf(needing(1e18))).toMatchObject({
    status: "fail",
    found: expect.stringContaining("images are refused"),
    mend: expect.stringContaining("DOWNLOADS_DIR"),
  });
});

const content = "the weights";
const sha256 = createHash("sha256").update(content).digest("hex");
const hubFile = { repository: "someone/model", revision: "0", path: "model.safetensors" };
const description = {
  ...defaultModel,
  architecture: tinyClip,
  source: { ...hubFile, bytes: content.length, sha256 },
};

interface Host {
  readonly modelsDir: string;
  readonly published?: string;
  readonly CLIP_WEIGHTS?: "openai" | "synthetic";
  readonly HF_HUB_OFFLINE?: boolean;
  readonly onRead?: (bytes: number) => void;
}

function options({ modelsDir, published, onRead = () => {}, ...config }: Host) {
  const findFile = async () => published;
  const model = installedModel(modelsDir, {}, "clip-tiny", description);
  const settings = {
    CLIP_WEIGHTS: "openai",
    CLIP_PRECISION: "fp32",
    HF_HUB_OFFLINE: false,
    ...config,
  } as const;
  return { config: settings, model, findFile, onRead };
}

async function weightsIn(folder: string, text: string): Promise<string> {
  const path = join(folder, "model.safetensors");
  await Bun.write(path, text);
  return path;
}

async function prepare(modelsDir: string): Promise<string> {
  const folder = preparedFolder(join(modelsDir, "prepared"), "clip-tiny", sha256);
  await mkdir(folder, { recursive: true });
  await writeTinyClip(folder);
  const weights = await checkFile(await weightsIn(folder, content));
  const entries = await Promise.all(
    preparedPathsOf(modelFilesIn(folder)).map(async (path) => [
      basename(path),
      await checkFile(path),
    ]),
  );
  await writeCheckedFiles(folder, { ...Object.fromEntries(entries), [weightsEntry]: weights });
  return folder;
}

describe("weights", () => {
  test("that are the published ones are ok, and every byte of them was read", async () => {
    await using folder = await temporaryFolder();
    const published = await weightsIn(folder.path, content);
    const read: number[] = [];
    const onRead = (bytes: number) => void read.push(bytes);
    const check = weightsCheck(options({ modelsDir: folder.path, published, onRead }));
    expect((await findingOf(check)).status).toBe("ok");
    expect(read.at(-1)).toBe(content.length);
  });

  test.each([
    ["the weighty", "is not the file that it should be"],
    ["the", "has 3 bytes instead of 11"],
  ])("%p in their place fails", async (text, said) => {
    await using folder = await temporaryFolder();
    const published = await weightsIn(folder.path, text);
    const check = weightsCheck(options({ modelsDir: folder.path, published }));
    expect(await findingOf(check)).toMatchObject({
      status: "fail",
      found: expect.stringContaining(said),
    });
  });

  test("that are missing are downloaded, unless that is forbidden or nothing needs them", async () => {
    await using folder = await temporaryFolder();
    const here = { modelsDir: folder.path };
    const statusOf = async (host: Host) => (await findingOf(weightsCheck(options(host)))).status;
    expect(await statusOf(here)).toBe("warn");
    expect(await statusOf({ ...here, HF_HUB_OFFLINE: true })).toBe("fail");
    expect(await statusOf({ ...here, CLIP_WEIGHTS: "synthetic" })).toBe("warn");
    await prepare(folder.path);
    expect(await statusOf({ ...here, HF_HUB_OFFLINE: true })).toBe("ok");
  });

  test("what is prepared is complete, missing or incomplete, and so much room is wanted", async () => {
    await using folder = await temporaryFolder();
    const here = { modelsDir: folder.path };
    const look = async (host: Host) => ({
      status: (await findingOf(preparedModelCheck(options(host)))).status,
      missing: await missingModelBytes(options(host)),
    });
    expect(await look(here)).toEqual({ status: "ok", missing: 22 });
    expect(await look({ ...here, published: "there" })).toEqual({ status: "ok", missing: 11 });
    const prepared = await prepare(folder.path);
    expect(await look(here)).toEqual({ status: "ok", missing: 0 });
    const data = `${modelFilesIn(prepared).imageTower}.data`;
    await Bun.write(data, new Uint8Array((await stat(data)).size - 1));
    expect(await look(here)).toEqual({ status: "warn", missing: 22 });
  });
});
