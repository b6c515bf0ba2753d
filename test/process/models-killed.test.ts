/** Processes that are killed while they bring a model here: the right file or none, and the next goes on. */
import { afterAll, beforeEach, expect, test } from "bun:test";
import { readdir, readFile, rm, stat } from "node:fs/promises";
import { join } from "node:path";
import fc from "fast-check";
import { isPackedName, packedState } from "../../src/models/packed.ts";
import { modelFilesIn, preparedFolder } from "../../src/models/prepared.ts";
import { seededTensors } from "../../src/models/seeded-tensors.ts";
import { writeModel } from "../../workers/write-model.ts";
import { startHub } from "../support/hub.ts";
import { startProcess } from "../support/process.ts";
import { smallModel, smallProgram, smallWeights } from "../support/small-model.ts";
import { temporaryFolder } from "../support/tiny-clip.ts";

const weights = smallWeights();
const hub = await startHub(weights);
const folder = await temporaryFolder();
const { program, environment } = await smallProgram(folder.path, hub.file);
const modelsDir = join(folder.path, "models");
const place = join(modelsDir, smallModel.id);
const target = join(place, "model.safetensors");
const partial = `${target}.partial`;
const prepared = preparedFolder(join(modelsDir, "prepared"), smallModel.id, hub.file.sha256);

const settings = {
  PATH: Bun.env["PATH"] ?? "",
  HOME: folder.path,
  HF_ENDPOINT: hub.endpoint,
  HF_HUB_OFFLINE: "false",
  CLIP_WEIGHTS: "openai",
  MODELS_DIR: modelsDir,
  ...environment,
};

beforeEach(() => rm(modelsDir, { recursive: true, force: true }));
afterAll(async () => {
  await hub[Symbol.asyncDispose]();
  await folder[Symbol.asyncDispose]();
});

/** When a process is killed: so long after so many bytes of the file are here, under whatever name. */
interface Moment {
  readonly bytes: number;
  readonly laterMs: number;
}

const moments = fc.oneof(
  // While it starts, or while bytes come.
  fc.record({ bytes: fc.nat({ max: weights.length }), laterMs: fc.constant(0) }),
  // While it begins, or hashes what an earlier one left.
  fc.record({ bytes: fc.constant(0), laterMs: fc.nat({ max: 120 }) }),
  // While it syncs and places what is whole.
  fc.record({ bytes: fc.constant(weights.length), laterMs: fc.nat({ max: 15 }) }),
);

async function sizeOf(path: string): Promise<number> {
  return await stat(path).then(
    ({ size }) => size,
    () => 0,
  );
}

async function bytesHere(): Promise<number> {
  const names = await readdir(place).catch(() => []);
  return Math.max(0, ...(await Promise.all(names.map((name) => sizeOf(join(place, name))))));
}

/** Runs `models pull`, to its end or to a moment at which it is killed. */
async function pull(moment?: Moment) {
  const child = Bun.spawn([...program, "models", "pull"], {
    env: settings,
    stdout: "ignore",
    stderr: "pipe",
  });
  if (moment !== undefined) {
    while (child.exitCode === null && (await bytesHere()) < moment.bytes) await Bun.sleep(1);
    await Bun.sleep(moment.laterMs);
    child.kill("SIGKILL");
  }
  const [code, errors] = await Promise.all([child.exited, child.stderr.text()]);
  return { code, errors };
}

async function expectRightOrNone(): Promise<void> {
  const bytes = await readFile(target).catch(() => undefined);
  if (bytes !== undefined) expect(bytes.equals(weights)).toBe(true);
}

test("a download that is killed again and again goes on where it was, and leaves nothing behind", async () => {
  await fc.assert(
    fc.asyncProperty(fc.array(moments, { minLength: 2, maxLength: 4 }), async (kills) => {
      await rm(modelsDir, { recursive: true, force: true });
      for (const moment of kills) {
        await pull(moment);
        await expectRightOrNone();
      }
      const [isPlaced, left] = [await Bun.file(target).exists(), await sizeOf(partial)];
      const before = hub.requests.length;
      const { code, errors } = await pull();
      expect([code, errors]).toEqual([0, expect.stringContaining(target)]);
      expect((await readFile(target)).equals(weights)).toBe(true);
      expect(await readdir(place)).toContainAllValues([
        "model.safetensors",
        "model.safetensors.lock",
      ]);
      const asked = hub.requests.slice(before).filter(({ host }) => host === "files");
      const isWhole = isPlaced || left === weights.length;
      const range = left > 0 ? `bytes=${left}-` : undefined;
      // One that was killed may have asked, too, and be heard only now: the last one counts.
      expect(asked.at(-1)?.range).toBe(isWhole ? undefined : range);
    }),
    { numRuns: 10, endOnFailure: true },
  );
});

test("one that waits for another's download takes it over when that one is killed", async () => {
  const cut = 5_000_000;
  hub.moods.push({ stallAfter: cut });
  const first = Bun.spawn([...program, "models", "pull"], { env: settings, stderr: "ignore" });
  while ((await sizeOf(partial)) < cut) await Bun.sleep(1);
  const second = pull();
  // However far the second has come by now, the first holds the lock.
  await Bun.sleep(200);
  const before = hub.requests.length;
  first.kill("SIGKILL");
  await first.exited;
  expect((await second).code).toBe(0);
  expect((await readFile(target)).equals(weights)).toBe(true);
  const asked = hub.requests.slice(before).filter(({ host }) => host === "files");
  expect(asked.map(({ range }) => range)).toEqual([`bytes=${cut}-`]);
});

test("models remove leaves a download alone, and says who is in the way; a second one waits", async () => {
  const cut = 5_000_000;
  const rest = Promise.withResolvers<void>();
  hub.moods.push({ pause: { after: cut, until: rest.promise } });
  const first = pull();
  while ((await sizeOf(partial)) < cut) await Bun.sleep(1);
  const remove = Bun.spawnSync([...program, "models", "remove", smallModel.id], { env: settings });
  expect([remove.exitCode, remove.stderr.toString()]).toEqual([
    1,
    `imagesvc: ${smallModel.id} was not removed: another process brings it here: end it, or wait until it is done\n`,
  ]);
  expect(await sizeOf(partial)).toBe(cut);
  const before = hub.requests.length;
  const waiting = Bun.spawn([...program, "models", "pull"], { env: settings, stderr: "pipe" });
  const said = waiting.stderr.pipeThrough(new TextDecoderStream());
  let heard = "";
  for await (const text of said) {
    heard += text;
    if (heard.includes("another process downloads it")) rest.resolve();
  }
  expect([(await first).code, await waiting.exited]).toEqual([0, 0]);
  expect((await readFile(target)).equals(weights)).toBe(true);
  expect(hub.requests.slice(before)).toEqual([]);
});

test("a folder that is deleted by hand during a download costs the download, and no wrong file gets the name", async () => {
  const cut = 5_000_000;
  const rest = Promise.withResolvers<void>();
  hub.moods.push({ pause: { after: cut, until: rest.promise } });
  const first = pull();
  while ((await sizeOf(partial)) < cut) await Bun.sleep(1);
  await rm(place, { recursive: true });
  hub.moods.push({ stallAfter: cut });
  const second = Bun.spawn([...program, "models", "pull"], { env: settings, stderr: "ignore" });
  while ((await sizeOf(partial)) < cut) await Bun.sleep(1);
  rest.resolve();
  const { code, errors } = await first;
  expect([code, errors]).toEqual([1, expect.stringContaining("somebody deleted the file while")]);
  expect(await Bun.file(target).exists()).toBe(false);
  second.kill("SIGKILL");
  await second.exited;
  expect((await pull()).code).toBe(0);
  expect((await readFile(target)).equals(weights)).toBe(true);
});

/** A service is killed so long after there is a file whose name begins so; a dot at the end: one under way. */
const writings = [
  ["image.onnx.data.", 1],
  ["image.onnx.data", 0],
  ["image.onnx", 0],
  ["text.onnx.data.", 4],
  ["text.onnx.data", 1],
  ["text.onnx", 0],
  ["packed-", 0],
  ["packed-", 20],
  ["packed-", 60],
  // The last leaves something for the next to sweep away.
  ["text.onnx.data.", 0],
] as const;

test("a service that is killed while it makes the model leaves whole files, and the next makes the rest", async () => {
  await Bun.write(target, weights);
  const own = modelFilesIn(folder.path);
  await writeModel(own, smallModel.architecture, seededTensors("small"));
  const names = ["image.onnx", "image.onnx.data", "text.onnx", "text.onnx.data"];
  const right = new Map<string, Buffer>();
  for (const name of names) right.set(name, await readFile(join(folder.path, name)));
  const options = { command: [...program, "serve"] };
  const there = () => readdir(prepared).catch(() => []);
  for (const [start, laterMs] of writings) {
    await rm(prepared, { recursive: true, force: true });
    {
      await using service = await startProcess(settings, options);
      const isThere = (name: string) =>
        /[.-]$/.test(start) ? name.startsWith(start) : name === start;
      while (!(await there()).some(isThere)) await Bun.sleep(1);
      await Bun.sleep(laterMs);
      service.signal("SIGKILL");
      await service.exited;
    }
    for (const name of (await there()).filter((one) => right.has(one))) {
      expect(right.get(name)?.equals(await readFile(join(prepared, name)))).toBe(true);
    }
    for (const name of (await there()).filter(isPackedName)) {
      if (!name.endsWith(".tmp")) expect(await packedState(join(prepared, name))).toBe("complete");
    }
  }
  await using service = await startProcess(settings, options);
  await service.logged(/"message":"model ready"/);
  const [packed = ""] = (await there()).filter(isPackedName);
  expect(await there()).toContainAllValues([...names, "checked.json", packed]);
  expect(await packedState(join(prepared, packed))).toBe("complete");
  for (const name of names) {
    expect(right.get(name)?.equals(await readFile(join(prepared, name)))).toBe(true);
  }
  service.signal("SIGTERM");
  expect(await service.exited).toBe(0);
});
