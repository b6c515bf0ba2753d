/** `models pull` and `models import` leave nothing to write for the first start. */
import { afterAll, beforeEach, describe, expect, test } from "bun:test";
import { mkdir, readdir, rm, stat } from "node:fs/promises";
import { join } from "node:path";
import { isPackedName } from "../../src/models/packed.ts";
import { preparedFolder, shortDigest } from "../../src/models/prepared.ts";
import { seededTensors } from "../../src/models/seeded-tensors.ts";
import { tryLockFile } from "../../src/native/file-lock.ts";
import { startHub } from "../support/hub.ts";
import { startProcess } from "../support/process.ts";
import { mountSmallDisk } from "../support/small-disk.ts";
import { smallModel, smallProgram, smallWeights } from "../support/small-model.ts";
import { temporaryFolder } from "../support/tiny-clip.ts";
import { tinySafetensors } from "../support/tiny-safetensors.ts";

const weights = smallWeights();
const own = tinySafetensors(smallModel.architecture, seededTensors("own"));
const hub = await startHub(weights);
const folder = await temporaryFolder();
const { program, environment } = await smallProgram(folder.path, hub.file);
const { id } = smallModel;
const modelsDir = join(folder.path, "models");
const from = join(folder.path, "from");
const towers = ["image.onnx", "image.onnx.data", "text.onnx", "text.onnx.data"];
const names = ["checked.json", ...towers, "packed"].sort();

const settings = {
  PATH: Bun.env["PATH"] ?? "",
  HOME: folder.path,
  HF_ENDPOINT: hub.endpoint,
  HF_HUB_OFFLINE: "false",
  CLIP_WEIGHTS: "openai",
  MODELS_DIR: modelsDir,
  ...environment,
};

beforeEach(async () => {
  for (const path of [modelsDir, from]) await rm(path, { recursive: true, force: true });
  await mkdir(from);
});
afterAll(async () => {
  await hub[Symbol.asyncDispose]();
  await folder[Symbol.asyncDispose]();
});

function spawn(argv: readonly string[], more: Readonly<Record<string, string>> = {}) {
  return Bun.spawn([...program, "models", ...argv], {
    env: { ...settings, ...more },
    stdout: "ignore",
    stderr: "pipe",
  });
}

async function endOf(child: ReturnType<typeof spawn>) {
  const [code, errors] = await Promise.all([child.exited, child.stderr.text()]);
  return { code, lines: errors.trimEnd().split("\n") };
}

const run = (...argv: readonly string[]) => endOf(spawn(argv));

const preparedIn = (place: string, sha256 = hub.file.sha256) =>
  preparedFolder(join(place, "prepared"), id, sha256);

/** The files of the model that runs, by name, and when each was last changed; `packed`: what is packed of them. */
async function look(path = preparedIn(modelsDir)): Promise<ReadonlyMap<string, number>> {
  const found = new Map<string, number>();
  for (const name of (await readdir(path).catch(() => [])).sort()) {
    const file = await stat(join(path, name)).catch(() => undefined);
    const isPacked = isPackedName(name) && !name.endsWith(".tmp");
    if (file !== undefined) found.set(isPacked ? "packed" : name, file.ctimeMs);
  }
  return found;
}

/** Starts a service on what is here, without a network; it becomes ready and ends. */
async function expectReady(): Promise<void> {
  const offline = { ...settings, HF_HUB_OFFLINE: "true" };
  await using service = await startProcess(offline, { command: [...program, "serve"] });
  await service.logged(/"message":"model ready"/);
  service.signal("SIGTERM");
  expect(await service.exited).toBe(0);
}

/** Puts weights of an operator's own into the folder that is imported from. @returns their SHA-256. */
async function offerOwn(): Promise<string> {
  await Bun.write(join(from, "own.safetensors"), own);
  return new Bun.CryptoHasher("sha256").update(own).digest("hex");
}

describe("models pull", () => {
  test("writes the model that runs, once, and says what is there", async () => {
    const { code, lines } = await run("pull");
    expect([code, ...lines.slice(-3)]).toEqual([
      0,
      `${id} is here: ${join(modelsDir, id, "model.safetensors")}`,
      "writing the model that runs, which takes up to three times as much space as the weights",
      `${id} is ready: the model that runs is in ${preparedIn(modelsDir)}`,
    ]);
    const written = await look();
    expect([...written.keys()]).toEqual(names);
    const again = await run("pull");
    expect([again.code, again.lines.length]).toEqual([0, 2]);
    expect(again.lines[1]).toBe(lines.at(-1));
    await expectReady();
    expect(await look()).toEqual(written);
  });

  test("writes nothing where pinned weights are served in their place", async () => {
    const sha256 = await offerOwn();
    expect((await run("import", from, "--sha256", sha256)).code).toBe(0);
    expect((await run("pull")).code).toBe(0);
    expect([...(await look()).keys()]).toEqual([]);
  });
});

describe("models pull that is held up", () => {
  test("waits for whoever writes it, and Ctrl-C ends the waiting", async () => {
    await mkdir(join(modelsDir, "prepared"), { recursive: true });
    const lock = await tryLockFile(`${preparedIn(modelsDir)}.lock`);
    if (lock === undefined) throw new Error("nobody else has it");
    try {
      const child = spawn(["pull"]);
      const decoder = new TextDecoder();
      let errors = "";
      for await (const chunk of child.stderr) {
        errors += decoder.decode(chunk);
        if (errors.includes("writing the model")) child.kill("SIGINT");
      }
      expect(await child.exited).toBe(130);
      expect([...(await look()).keys()]).toEqual([]);
    } finally {
      await lock[Symbol.asyncDispose]();
    }
    expect((await run("pull")).code).toBe(0);
  });

  test.each(["image.onnx.data.", "image.onnx.data", "text.onnx.data.", "packed-"])(
    "Ctrl-C once there is a %p leaves nothing half-written, and the next goes on",
    async (start) => {
      const child = spawn(["pull"]);
      while (child.exitCode === null) {
        if ([...(await look()).keys()].some((name) => name.startsWith(start))) break;
      }
      child.kill("SIGINT");
      // It may have been done with everything by then.
      expect([0, 130]).toContain(await child.exited);
      expect([...(await look()).keys()].filter((name) => !names.includes(name))).toEqual([]);
      expect((await run("pull")).code).toBe(0);
      expect([...(await look()).keys()]).toEqual(names);
    },
  );

  test("a disk without room for it is a failure that names the mend, and the download stays", async () => {
    const mountPoint = join(folder.path, "disk");
    await mkdir(mountPoint, { recursive: true });
    await using disk = await mountSmallDisk(mountPoint, 3 * weights.length);
    if (disk === undefined) return;
    const target = join(disk.path, id, "model.safetensors");
    await mkdir(join(disk.path, id));
    await Bun.write(target, weights);
    await disk.fill(1_000_000);
    const there = { MODELS_DIR: disk.path };
    const { code, lines } = await endOf(spawn(["pull"], there));
    expect(code).toBe(1);
    expect(lines.at(-1)).toMatch(
      /^imagesvc: of \S+ the weights are here, but not what runs: The model could not be written: the disk of MODELS_DIR has 1 MB free, and \d+ MB are needed: free space\.$/,
    );
    await disk.clear();
    expect((await endOf(spawn(["pull"], there))).code).toBe(0);
    // Not packed: onnxruntime follows no path through /proc, by which the test sees the disk.
    expect([...(await look(preparedIn(disk.path))).keys()]).toEqual(["checked.json", ...towers]);
  });
});

describe("models import", () => {
  test("writes the model that runs from the published weights", async () => {
    await Bun.write(join(from, "model.safetensors"), weights);
    const { code, lines } = await run("import", from);
    expect([code, lines.at(-1)]).toEqual([
      0,
      `${id} is ready: the model that runs is in ${preparedIn(modelsDir)}`,
    ]);
    const written = await look();
    await expectReady();
    expect(await look()).toEqual(written);
  });

  test("writes it from pinned weights, under their name", async () => {
    const sha256 = await offerOwn();
    const { code, lines } = await run("import", from, "--sha256", sha256);
    const place = preparedIn(modelsDir, sha256);
    expect([code, lines.at(-1)]).toEqual([
      0,
      `${id}@${shortDigest(sha256)} is ready: the model that runs is in ${place}`,
    ]);
    expect([...(await look(place)).keys()]).toEqual(names);
  });

  test("refuses pinned weights that give no numbers, as a start does", async () => {
    const { architecture } = smallModel;
    const broken = tinySafetensors(architecture, {
      read: (name, shape) => {
        const values = seededTensors("own").read(name, shape);
        return name === "text_projection.weight" ? values.fill(Number.NaN) : values;
      },
    });
    await Bun.write(join(from, "own.safetensors"), broken);
    const sha256 = new Bun.CryptoHasher("sha256").update(broken).digest("hex");
    const sentence = "The model cannot be used: the text tower gave a number that is not finite.";
    for (const _ of ["first", "again"]) {
      const { code, lines } = await run("import", from, "--sha256", sha256);
      expect([code, lines.at(-1)]).toEqual([
        1,
        `imagesvc: of ${id}@${shortDigest(sha256)} the weights are here, but not what runs: ${sentence}`,
      ]);
    }
    await using service = await startProcess(settings, { command: [...program, "serve"] });
    await service.logged(/the model is not available/);
    expect(service.log()).toContain(sentence);
  });
});
