/** A disk that others fill while a model is on its way to it. */
import { afterAll, afterEach, beforeEach, expect, test } from "bun:test";
import { mkdir, readdir, readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { createHub } from "../../src/models/hub.ts";
import { until } from "../support/client.ts";
import { type FakeHub, startHub } from "../support/hub.ts";
import { startProcess } from "../support/process.ts";
import { mountSmallDisk, type SmallDisk } from "../support/small-disk.ts";
import { smallModel, smallProgram, smallWeights } from "../support/small-model.ts";
import { temporaryFolder } from "../support/tiny-clip.ts";

const weights = smallWeights();
const folder = await temporaryFolder();
const mountPoint = join(folder.path, "disk");
await mkdir(mountPoint);
afterAll(() => folder[Symbol.asyncDispose]());

/** What has come when the disk is filled. */
const arrivedBytes = 4_000_000;
/** For the download and what is made from it, which is asked for beforehand. */
const diskBytes = 3 * weights.length;
const isFull = "the disk of MODELS_DIR is full: free space";

let disk: SmallDisk | undefined;
let hub: FakeHub;
let goOn: () => void;

beforeEach(async () => {
  disk = await mountSmallDisk(mountPoint, diskBytes);
  hub = await startHub(weights);
  const { promise, resolve } = Promise.withResolvers<void>();
  goOn = resolve;
  hub.moods.push({ pause: { after: arrivedBytes, until: promise } });
});
afterEach(async () => {
  await hub[Symbol.asyncDispose]();
  await disk?.[Symbol.asyncDispose]();
});

const placeOn = ({ path }: SmallDisk) => join(path, smallModel.id);
const targetOn = (on: SmallDisk) => join(placeOn(on), "model.safetensors");

/** Fills the disk while the hub pauses in the middle of the file, and lets the hub go on. */
async function fillMeanwhile(on: SmallDisk): Promise<void> {
  const partial = Bun.file(`${targetOn(on)}.partial`);
  await until(async () => (await partial.exists()) && (await partial.stat()).size === arrivedBytes);
  await on.fill();
  goOn();
}

async function settingsOn(on: SmallDisk) {
  const { program, environment } = await smallProgram(folder.path, hub.file);
  const own = { CLIP_WEIGHTS: "openai", HF_HUB_OFFLINE: "false", HF_ENDPOINT: hub.endpoint };
  const env = { ...own, ...environment, HOME: folder.path, MODELS_DIR: on.path };
  return { program, env };
}

async function run(on: SmallDisk, argv: readonly string[]) {
  const { program, env } = await settingsOn(on);
  const child = Bun.spawn([...program, "models", ...argv], {
    env: { PATH: Bun.env["PATH"] ?? "", ...env },
    stdout: "ignore",
    stderr: "pipe",
  });
  const [errors, code] = await Promise.all([child.stderr.text(), child.exited]);
  return { code, lastLine: errors.trimEnd().split("\n").at(-1) };
}

test("models pull says so in one sentence, places nothing, and goes on once there is space", async () => {
  if (disk === undefined) return;
  const first = run(disk, ["pull"]);
  await fillMeanwhile(disk);
  expect(await first).toEqual({
    code: 1,
    lastLine: `imagesvc: ${smallModel.id} was not downloaded: ${isFull}; or take the file from elsewhere with: imagesvc models import DIR`,
  });
  expect(await Bun.file(targetOn(disk)).exists()).toBe(false);
  await disk.clear();
  expect((await run(disk, ["pull"])).code).toBe(0);
  expect((await readFile(targetOn(disk))).equals(weights)).toBe(true);
  const [from] = /\d+/.exec(hub.requests.at(-1)?.range ?? "") ?? [];
  expect(Number(from)).toBeGreaterThanOrEqual(arrivedBytes);
  expect(await readdir(placeOn(disk))).toContainAllValues([
    "model.safetensors",
    "model.safetensors.lock",
  ]);
});

test("another try may help, so that a service goes on trying", async () => {
  if (disk === undefined) return;
  const on = disk;
  const client = createHub({
    endpoint: hub.endpoint,
    token: "",
    isOffline: false,
    proxy: undefined,
  });
  const { signal } = new AbortController();
  const terms = { signal, onProgress: () => {}, bytesBeside: 0 };
  const pulling = client.pull(hub.file, targetOn(on), terms);
  await fillMeanwhile(on);
  expect(await pulling).toEqual({ kind: "failed", sentence: isFull, mayPass: true });
  // Nor does it begin while the check beforehand finds no room.
  expect(await client.pull(hub.file, targetOn(on), terms)).toEqual({
    kind: "failed",
    sentence: expect.stringMatching(
      /^the disk of MODELS_DIR has \d+ MB free, and \d+ MB are needed/,
    ),
    mayPass: true,
  });
  await on.clear();
  expect(await client.pull(hub.file, targetOn(on), terms)).toBeUndefined();
});

test("serve says so in /readyz, and serves the rest", async () => {
  if (disk === undefined) return;
  const { program, env } = await settingsOn(disk);
  await using service = await startProcess(env, { command: [...program, "serve"] });
  const url = await service.url();
  const readiness = async () => await (await fetch(new URL("/readyz", url))).text();
  await fillMeanwhile(disk);
  await until(async () => (await readiness()).includes("could not be downloaded"));
  expect(await readiness()).toContain(`The weights could not be downloaded: ${isFull}. `);
  expect((await fetch(new URL("/docs", url))).status).toBe(200);
  expect(service.log()).not.toContain('"level":"error"');
  service.signal("SIGTERM");
  expect(await service.exited).toBe(0);
});

test("models import says so in one sentence, and leaves no half of a copy behind", async () => {
  if (disk === undefined) return;
  const from = join(folder.path, "from");
  await mkdir(from, { recursive: true });
  await writeFile(join(from, "model.safetensors"), weights);
  await disk.fill();
  await mkdir(placeOn(disk), { recursive: true });
  expect(await run(disk, ["import", from])).toEqual({
    code: 1,
    lastLine: expect.stringMatching(
      /^imagesvc: clip-ViT-B-32: the disk of MODELS_DIR has \d+ MB free, and \d+ MB are needed: free space$/,
    ),
  });
  expect(await readdir(placeOn(disk))).not.toContain("model.safetensors.partial");
  await disk.clear();
  expect((await run(disk, ["import", from])).code).toBe(0);
  expect((await readFile(targetOn(disk))).equals(weights)).toBe(true);
});
