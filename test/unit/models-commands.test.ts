/** `imagesvc models …` with a tiny model and a hub on loopback. */
import { afterEach, beforeEach, describe, expect, test } from "bun:test";
import { chmod, mkdir, readdir, readFile, rm, stat, truncate, writeFile } from "node:fs/promises";
import { dirname, join } from "node:path";
import { createWorker } from "../../src/backends/pool.ts";
import { runModelsList, runModelsPull, runModelsRemove } from "../../src/cli/models.ts";
import { runModelsImport } from "../../src/cli/models-import.ts";
import { runModelsVerify } from "../../src/cli/models-verify.ts";
import type { Models } from "../../src/models/catalog.ts";
import { hubCachePath } from "../../src/models/hub-cache.ts";
import { preparedFolder } from "../../src/models/prepared.ts";
import { tryLockFile } from "../../src/native/file-lock.ts";
import { prepareModel } from "../../workers/prepare-model.ts";
import { writtenCall } from "../support/command-call.ts";
import { defaultModel } from "../support/default-model.ts";
import { type FakeHub, startHub } from "../support/hub.ts";
import { temporaryFolder, tinyClip, tinyTensors } from "../support/tiny-clip.ts";
import { tinyExport } from "../support/tiny-export.ts";
import { tinySafetensors } from "../support/tiny-safetensors.ts";

const bytes = tinySafetensors(tinyClip, tinyTensors);
const pair = tinyExport();
const id = "clip-tiny";

let hub: FakeHub;
let folder: Awaited<ReturnType<typeof temporaryFolder>>;
let models: Models;

beforeEach(async () => {
  hub = await startHub(bytes);
  folder = await temporaryFolder();
  models = {
    [id]: { ...defaultModel, architecture: tinyClip, source: hub.file, onnx: pair.facts },
  };
});

afterEach(async () => {
  await hub[Symbol.asyncDispose]();
  await folder[Symbol.asyncDispose]();
});

const modelsDir = () => join(folder.path, "models");
const target = () => join(modelsDir(), id, "model.safetensors");
const preparedDir = () => join(modelsDir(), "prepared");

function callOf(parts: Partial<Parameters<typeof writtenCall>[0]> = {}) {
  return writtenCall({
    folders: { models: modelsDir(), downloads: "nowhere", cache: "nowhere" },
    ...parts,
    settings: { HF_ENDPOINT: hub.endpoint, ...parts.settings },
  });
}

function prepare() {
  const { sha256 } = hub.file;
  const folder = preparedFolder(preparedDir(), id, sha256);
  const facts = { bytes: bytes.length, sha256, architecture: tinyClip };
  return prepareModel({ folder, from: { kind: "weights", path: target(), ...facts } });
}

/** What `models list` says of the tiny model. */
async function stateOf(environment = {}): Promise<string> {
  const { call, output } = callOf({ environment });
  expect(await runModelsList(call, models)).toBe(0);
  return output().split("\n")[0] ?? "";
}

describe("models list", () => {
  test("says of each model what is here, and what to do next", async () => {
    expect(await stateOf()).toBe(
      `clip-tiny  12 numbers  MIT  ${(bytes.length / 1e6).toFixed(1)} MB  not here: imagesvc models pull clip-tiny`,
    );
    await runModelsPull(callOf().call, models);
    expect(await stateOf()).toEndWith("here; the first start of the service prepares it");
    await prepare();
    expect(await stateOf()).toEndWith("ready");
  });

  test("finds weights in the user's Hugging Face cache", async () => {
    const environment = { HF_HOME: folder.path };
    const path = hubCachePath(environment, hub.file) ?? "";
    await mkdir(dirname(path), { recursive: true });
    await writeFile(path, bytes);
    expect(await stateOf(environment)).toContain("here; ");
  });

  test("names a file of another length, and how to get the right one", async () => {
    await mkdir(dirname(target()), { recursive: true });
    await writeFile(target(), "hello, world");
    const wrong = `model.safetensors has 12 bytes instead of ${bytes.length}`;
    expect(await stateOf()).toEndWith(
      `${wrong}: imagesvc models pull clip-tiny, or models import DIR`,
    );
    const { call, output } = callOf({ options: { json: true } });
    await runModelsList(call, models);
    expect(JSON.parse(output())).toMatchObject([{ id, weights: null, wrong }]);
    await runModelsPull(callOf().call, models);
    expect(await stateOf()).toEndWith("here; the first start of the service prepares it");
  });

  test("names a file of the ONNX pair that has another length", async () => {
    await mkdir(join(modelsDir(), id, "onnx"), { recursive: true });
    await writeFile(join(modelsDir(), id, "onnx/text_model.onnx"), "short");
    expect(await stateOf()).toContain(
      `text_model.onnx has 5 bytes instead of ${pair.facts.text.bytes}: `,
    );
  });

  test("gives all that is known as JSON", async () => {
    const { call, output } = callOf({ options: { json: true } });
    await runModelsList(call, models);
    expect(JSON.parse(output())).toMatchObject([
      { id, dimensions: 12, licence: "MIT", source: hub.file, weights: null, prepared: "missing" },
    ]);
  });
});

/** Starts no worker, as where native libraries do not load. */
function refuse(): never {
  throw new Error("no memory file\nnor a folder");
}

describe("models pull", () => {
  test("downloads the weights, and once only", async () => {
    expect(await runModelsPull(callOf({ operands: [id] }).call, models)).toBe(0);
    expect(await readFile(target())).toEqual(Buffer.from(bytes));
    const again = callOf();
    expect(await runModelsPull(again.call, models)).toBe(0);
    expect(again.errors()).toBe(`${id} is here already: ${target()}\n`);
    expect(again.output()).toBe("");
  });

  test("a failure is one sentence with the mend, and exit code 1", async () => {
    hub.refusal = { status: 404 };
    const { call, errors } = callOf();
    expect(await runModelsPull(call, models)).toBe(1);
    expect(errors()).toEndWith(
      "imagesvc: clip-tiny was not downloaded: the hub does not have the file (404): check HF_ENDPOINT; or take the file from elsewhere with: imagesvc models import DIR\n",
    );
  });

  test.each([
    ["native libraries", "no memory file", refuse],
    ["a worker", "missing.ts", () => createWorker({ inference: join(folder.path, "missing.ts") })],
  ])("without %s the download counts, and the first start writes the rest", async (...given) => {
    const [, why, startWorker] = given;
    const { call, errors } = callOf();
    expect(await runModelsPull(call, models, startWorker)).toBe(0);
    const [last] = errors().trimEnd().split("\n").slice(-1);
    expect(last).toStartWith(
      "the model that runs is written at the first start of the service, not now: ",
    );
    expect(last).toContain(why);
    expect(await readFile(target())).toEqual(Buffer.from(bytes));
    expect(await stateOf()).toEndWith("here; the first start of the service prepares it");
  });

  test("a model that is none is exit code 2", async () => {
    const { call, errors } = callOf({ operands: ["clip-huge"] });
    expect(await runModelsPull(call, models)).toBe(2);
    expect(errors()).toBe('imagesvc: there is no model "clip-huge": there are clip-tiny\n');
  });
});

describe("models pull, where a file is here already,", () => {
  test("takes what lies in the user's Hugging Face cache, unless it is another file", async () => {
    const environment = { HF_HOME: folder.path };
    const path = hubCachePath(environment, hub.file) ?? "";
    await mkdir(dirname(path), { recursive: true });
    await writeFile(path, bytes);
    const { call, errors } = callOf({ environment });
    expect(await runModelsPull(call, models)).toBe(0);
    expect(errors()).toBe(`${id} is here already: ${path}\n`);
    expect(hub.requests).toEqual([]);
    await writeFile(path, new Uint8Array(bytes.length));
    const again = callOf({ environment });
    expect(await runModelsPull(again.call, models)).toBe(0);
    expect(again.errors()).toContain(
      `imagesvc: ${path} is not used: model.safetensors is not the file that it should be\n`,
    );
    expect(await readFile(target())).toEqual(Buffer.from(bytes));
    // It is the user's, and not ours to mend.
    expect(await readFile(path)).toEqual(Buffer.alloc(bytes.length));
  });

  test("mends a file that was damaged since", async () => {
    await runModelsPull(callOf().call, models);
    await writeFile(target(), new Uint8Array(bytes.length));
    expect(await runModelsPull(callOf().call, models)).toBe(0);
    expect(await readFile(target())).toEqual(Buffer.from(bytes));
  });

  test("says nothing of downloading where that is forbidden, and deletes nothing", async () => {
    await mkdir(dirname(target()), { recursive: true });
    await writeFile(target(), new Uint8Array(bytes.length));
    const { call, errors } = callOf({ settings: { HF_HUB_OFFLINE: "true" } });
    expect(await runModelsPull(call, models)).toBe(1);
    expect(errors()).toBe(
      `imagesvc: ${target()} is not used: model.safetensors is not the file that it should be\n` +
        "imagesvc: clip-tiny was not downloaded: HF_HUB_OFFLINE forbids to download; or take the file from elsewhere with: imagesvc models import DIR\n",
    );
    expect(await Bun.file(target()).exists()).toBe(true);
  });
});

describe("models import", () => {
  test.each([
    ["loose", "model.safetensors"],
    ["as in its repository", "0_CLIPModel/model.safetensors"],
    ["under the model's name", "clip-tiny/model.safetensors"],
    [
      "as in the hub's cache",
      "models--somebody--a-model/snapshots/0123456789abcdef0123456789abcdef01234567/0_CLIPModel/model.safetensors",
    ],
  ])("takes a file that lies %s", async (_where, path) => {
    const from = join(folder.path, "from");
    await mkdir(dirname(join(from, path)), { recursive: true });
    await writeFile(join(from, path), bytes);
    await chmod(join(from, path), 0o600);
    expect(await runModelsImport(callOf({ operands: [from] }).call, models)).toBe(0);
    expect(await readFile(target())).toEqual(Buffer.from(bytes));
    // The service may run as another user.
    expect((await stat(target())).mode & 0o777).toBe(0o644);
  });

  test.each([
    ["nothing", undefined, "there is no model.safetensors in that folder"],
    ["a short file", bytes.subarray(1), `has ${bytes.length - 1} bytes instead of ${bytes.length}`],
    ["another file", new Uint8Array(bytes.length), "is not the file that it should be"],
  ])("refuses %s in one sentence, and leaves nothing", async (_what, content, sentence) => {
    const from = join(folder.path, "from");
    await mkdir(from);
    if (content !== undefined) await writeFile(join(from, "model.safetensors"), content);
    const { call, errors } = callOf({ operands: [from] });
    expect(await runModelsImport(call, models)).toBe(1);
    expect(errors()).toContain(sentence);
    expect(errors().trim().split("\n")).toHaveLength(1);
    expect(await Bun.file(target()).exists()).toBe(false);
    expect(await Bun.file(`${target()}.partial`).exists()).toBe(false);
  });
});

describe("models import, where there are several models", () => {
  const others = () => {
    const path = "0_CLIPModel/other.safetensors";
    const other = { ...defaultModel, architecture: tinyClip, source: { ...hub.file, path } };
    return { ...models, "clip-other": other };
  };

  test("says nothing of those that the folder has no file of", async () => {
    await writeFile(join(folder.path, "model.safetensors"), "short");
    const { call, errors } = callOf({ operands: [folder.path] });
    expect(await runModelsImport(call, others())).toBe(1);
    expect(errors()).toBe(
      `imagesvc: clip-tiny: model.safetensors has 5 bytes instead of ${bytes.length}\n`,
    );
  });

  test("says in one line that a folder has no file of any", async () => {
    const { call, errors } = callOf({ operands: [folder.path] });
    expect(await runModelsImport(call, others())).toBe(1);
    expect(errors()).toBe(
      `imagesvc: "${folder.path}" has no file of any model: imagesvc models list says which are taken\n`,
    );
  });

  test.each([{}, { sha256: "0".repeat(64) }])(
    "says in one line that there is no folder: %p",
    async (options) => {
      const missing = join(folder.path, "missing");
      const { call, errors } = callOf({ operands: [missing], options });
      expect(await runModelsImport(call, others())).toBe(1);
      expect(errors()).toStartWith(`imagesvc: models import: "${missing}" is no folder`);
      expect(errors().trim().split("\n")).toHaveLength(1);
    },
  );

  test("says of a file that it is no folder", async () => {
    const path = join(folder.path, "model.safetensors");
    await writeFile(path, bytes);
    const { call, errors } = callOf({ operands: [path] });
    expect(await runModelsImport(call, others())).toBe(1);
    expect(errors()).toBe(`imagesvc: models import: "${path}" is no folder: check its path\n`);
  });
});

/** Verdict and finding of the weights and of what was made from them. */
async function verify(): Promise<{ code: number; verdicts: string[] }> {
  const { call, output } = callOf({ options: { json: true } });
  const code = await runModelsVerify(call, models);
  const checks: { verdict: string }[] = JSON.parse(output());
  return { code, verdicts: checks.map(({ verdict }) => verdict) };
}

describe("models verify", () => {
  test("a model of which nothing is here is a failure, and missing", async () => {
    expect(await verify()).toEqual({ code: 1, verdicts: ["missing", "missing"] });
    const { call, errors } = callOf();
    await runModelsVerify(call, models);
    expect(errors()).toContain("clip-tiny is not on this host: imagesvc models pull clip-tiny");
  });

  test("either the weights or what was made of them is enough, and synthetic ones need no file", async () => {
    const synthetic = callOf({ settings: { CLIP_WEIGHTS: "synthetic" } });
    expect(await runModelsVerify(synthetic.call, models)).toBe(0);
    await runModelsPull(callOf().call, models);
    expect(await verify()).toEqual({ code: 0, verdicts: ["right", "missing"] });
    await prepare();
    await rm(target());
    expect(await verify()).toEqual({ code: 0, verdicts: ["missing", "right", "right"] });
  });

  test("right weights and a right graph are said to be so, in lines too", async () => {
    await runModelsPull(callOf().call, models);
    await prepare();
    expect(await verify()).toEqual({ code: 0, verdicts: ["right", "right", "right"] });
    const { call, output } = callOf();
    await runModelsVerify(call, models);
    expect(output()).toContain(`right    clip-tiny, weights: SHA-256 ${hub.file.sha256}\n`);
    expect(output()).toMatch(/^right {4}clip-tiny, packed weights: unchanged since onnxruntime /m);
  });

  test("packed weights that changed are found, and those that are not here are missing", async () => {
    await runModelsPull(callOf().call, models);
    await prepare();
    const folder = preparedFolder(preparedDir(), id, hub.file.sha256);
    const [name = ""] = (await readdir(folder)).filter((one) => one.startsWith("packed-"));
    const data = join(folder, name, "text.onnx.data");
    const damaged = await readFile(data);
    damaged[0] = 1 ^ (damaged[0] ?? 0);
    await chmod(data, 0o600);
    await writeFile(data, damaged);
    expect(await verify()).toEqual({ code: 1, verdicts: ["right", "right", "wrong"] });
    await rm(data);
    expect(await verify()).toEqual({ code: 1, verdicts: ["right", "right", "wrong"] });
    await rm(join(folder, name), { recursive: true });
    expect(await verify()).toEqual({ code: 0, verdicts: ["right", "right", "missing"] });
  });

  test("weights of another length are wrong, not missing", async () => {
    await mkdir(dirname(target()), { recursive: true });
    await writeFile(target(), "hello, world");
    expect(await verify()).toEqual({ code: 1, verdicts: ["wrong", "missing"] });
    const { call, output } = callOf();
    await runModelsVerify(call, models);
    expect(output()).toContain(`model.safetensors has 12 bytes instead of ${bytes.length}`);
  });

  test("one changed byte of the weights is found", async () => {
    await runModelsPull(callOf().call, models);
    const damaged = bytes.slice();
    damaged[bytes.length - 1] = 1 ^ (damaged[bytes.length - 1] ?? 0);
    await writeFile(target(), damaged);
    expect(await verify()).toEqual({ code: 1, verdicts: ["wrong", "missing"] });
  });

  test("one changed tensor of the graph is found, and named", async () => {
    await runModelsPull(callOf().call, models);
    await prepare();
    const data = join(preparedFolder(preparedDir(), id, hub.file.sha256), "text.onnx.data");
    const damaged = await readFile(data);
    damaged[0] = 1 ^ (damaged[0] ?? 0);
    await writeFile(data, damaged);
    expect(await verify()).toEqual({ code: 1, verdicts: ["right", "wrong"] });
    await truncate(data, 10);
    expect(await verify()).toEqual({ code: 0, verdicts: ["right", "missing"] });
  });
});

/** What `models remove` says, and its exit code. */
async function remove() {
  const { call, errors } = callOf({ operands: [id] });
  return [await runModelsRemove(call, models), errors()] as const;
}

describe("models remove", () => {
  test("takes away the weights and what was made from them, and only the locks stay", async () => {
    await runModelsPull(callOf().call, models);
    await prepare();
    await writeFile(`${target()}.partial`, "half");
    expect(await remove()).toEqual([0, `${id} is no longer here\n`]);
    expect(await stateOf()).toContain("not here");
    const left = await readdir(modelsDir(), { recursive: true, withFileTypes: true });
    const files = left.filter((entry) => entry.isFile()).map(({ name }) => name);
    expect(files.length).toBeGreaterThan(1);
    expect(files.filter((name) => !name.endsWith(".lock"))).toEqual([]);
    expect(await remove()).toEqual([0, `nothing of ${id} was here\n`]);
  });

  test("says that nothing was there, and makes no folder", async () => {
    expect(await remove()).toEqual([0, `nothing of ${id} was here\n`]);
    expect(await Bun.file(modelsDir()).exists()).toBe(false);
  });

  test("leaves what others put into its folders", async () => {
    const others = ["onnx/notes.txt", "onnx/other.onnx", "12345678/notes.txt", "87654321"];
    for (const name of others) {
      const path = join(modelsDir(), id, name);
      await mkdir(dirname(path), { recursive: true });
      await writeFile(path, "mine");
    }
    expect(await remove()).toEqual([0, `nothing of ${id} was here\n`]);
    await writeFile(join(modelsDir(), id, "onnx/text_model.onnx"), "ours");
    await writeFile(join(modelsDir(), id, "12345678/model.safetensors"), "ours");
    expect((await remove())[0]).toBe(0);
    const left = await readdir(join(modelsDir(), id), { recursive: true });
    expect(left).toContainAllValues([...others, "onnx", "12345678", "onnx.lock", "12345678.lock"]);
  });

  test.each([
    ["the weights", () => `${target()}.lock`],
    ["what is made from them", () => `${preparedFolder(preparedDir(), id, hub.file.sha256)}.lock`],
  ])("deletes nothing while another process has the lock of %s", async (_what, lock) => {
    await runModelsPull(callOf().call, models);
    await prepare();
    {
      await using _held = await tryLockFile(lock());
      expect(await remove()).toEqual([
        1,
        `imagesvc: ${id} was not removed: another process brings it here: end it, or wait until it is done\n`,
      ]);
      expect(await stateOf()).toEndWith("ready");
      expect(await Bun.file(target()).exists()).toBe(true);
    }
    expect((await remove())[0]).toBe(0);
  });
});
