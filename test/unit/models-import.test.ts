/** `imagesvc models import`: an operator's own weights, and a published pair of ONNX files. */
import { afterEach, beforeEach, describe, expect, test } from "bun:test";
import { createHash } from "node:crypto";
import { existsSync } from "node:fs";
import { mkdir, readdir, rm, truncate, writeFile } from "node:fs/promises";
import { dirname, join } from "node:path";
import type { CommandCall } from "../../src/cli/command-call.ts";
import { runModelsList, runModelsPull, runModelsRemove } from "../../src/cli/models.ts";
import { runModelsImport } from "../../src/cli/models-import.ts";
import { runModelsVerify } from "../../src/cli/models-verify.ts";
import type { Models } from "../../src/models/catalog.ts";
import { createHub } from "../../src/models/hub.ts";
import { hubCachePath } from "../../src/models/hub-cache.ts";
import { installedModel } from "../../src/models/installed-model.ts";
import { seededTensors } from "../../src/models/seeded-tensors.ts";
import { createWeightsSupply } from "../../src/models/weights-supply.ts";
import { prepareModel } from "../../workers/prepare-model.ts";
import { writtenCall } from "../support/command-call.ts";
import { defaultModel } from "../support/default-model.ts";
import { leftOut } from "../support/left-out.ts";
import { temporaryFolder, tinyClip, tinyTensors } from "../support/tiny-clip.ts";
import { tinyExport } from "../support/tiny-export.ts";
import { tinySafetensors } from "../support/tiny-safetensors.ts";

const id = "clip-tiny";
const digestOf = (bytes: Uint8Array) => createHash("sha256").update(bytes).digest("hex");
const published = tinySafetensors(tinyClip, tinyTensors);
const own = tinySafetensors(tinyClip, seededTensors("own"));
const sha256 = digestOf(own);
const short = sha256.slice(0, 8);
const pair = tinyExport();
const source = {
  repository: "somebody/a-model",
  revision: "0123456789abcdef0123456789abcdef01234567",
  path: "0_CLIPModel/model.safetensors",
};
const description = { ...defaultModel, architecture: tinyClip, onnx: pair.facts };
const facts = { bytes: published.length, sha256: digestOf(published) };
const models: Models = { [id]: { ...description, source: { ...source, ...facts } } };
const unknown: Models = { [id]: { ...description, source } };

let folder: Awaited<ReturnType<typeof temporaryFolder>>;
const modelsDir = () => join(folder.path, "models");
const from = () => join(folder.path, "from");

beforeEach(async () => {
  folder = await temporaryFolder();
  await mkdir(from());
});
afterEach(() => folder[Symbol.asyncDispose]());

async function lay(path: string, bytes: Uint8Array): Promise<void> {
  await mkdir(dirname(join(from(), path)), { recursive: true });
  await writeFile(join(from(), path), bytes);
}

async function run(
  command: (call: CommandCall, models: Models) => Promise<number>,
  options: Readonly<Record<string, string | true>> = {},
  { operands = [], manifest = models }: { operands?: readonly string[]; manifest?: Models } = {},
) {
  const folders = { models: modelsDir(), downloads: "nowhere", cache: "nowhere" };
  const { call, output, errors } = writtenCall({ folders, operands, options });
  const code = await command(call, manifest);
  return { code, said: errors(), output: output() };
}

const importFrom = (options: Readonly<Record<string, string>> = {}, manifest = models) =>
  run(runModelsImport, options, { operands: [from()], manifest });

/** What the service would serve, and from what. */
async function served(manifest = models) {
  const [described = description] = Object.values(manifest);
  const model = installedModel(modelsDir(), {}, id, { ...described });
  const hub = createHub({
    endpoint: "http://127.0.0.1:1",
    token: "",
    proxy: undefined,
    isOffline: true,
  });
  const { exactId, find, mend } = createWeightsSupply(model, hub);
  const found = await find();
  const made = "unavailable" in found ? found : await prepareModel(found);
  return { exactId, kind: "from" in found ? found.from.kind : "none", made, mend };
}

describe("an operator's own weights", () => {
  test("are served under the first digits of their digest, once they are pinned", async () => {
    await lay("my-clip.safetensors", own);
    const { code, said } = await importFrom({ sha256: sha256.toUpperCase() });
    expect([code, said]).toEqual([
      0,
      `${id} is pinned: from the next start on it is served as ${id}@${short}, without checks of its vectors\n`,
    ]);
    const { exactId, kind, made } = await served();
    expect([exactId, kind]).toEqual([`${id}@${short}`, "weights"]);
    expect(made).toHaveProperty("imageTower", expect.stringContaining(`clip-tiny-${short}-v3`));
    const { output } = await run(runModelsList);
    expect(output).toBe(
      `${id}  12 numbers  MIT  ${(own.length / 1e6).toFixed(1)} MB  ready\n  pinned by its SHA-256, and served as ${id}@${short}: ${sha256}\n`,
    );
    const verified = await run(runModelsVerify);
    expect(verified.code).toBe(0);
    expect(verified.output).toContain("no golden value to check");
  });

  test("can be of a model whose published weights nobody knows", async () => {
    const list = () => run(runModelsList, {}, { manifest: unknown });
    expect((await list()).output).toContain(
      `size unknown  not here, and no SHA-256 of it is known: imagesvc models import DIR --sha256 HEX --model ${id}\n`,
    );
    const pulled = await run(runModelsPull, {}, { manifest: unknown });
    expect(pulled.code).toBe(1);
    expect(pulled.said).toContain("no SHA-256 of it is known here");
    expect((await served(unknown)).made).toHaveProperty("unavailable");
    await lay("model.safetensors", own);
    expect((await importFrom({}, unknown)).code).toBe(1);
    expect((await importFrom({ sha256, model: id }, unknown)).code).toBe(0);
    expect((await served(unknown)).exactId).toBe(`${id}@${short}`);
    expect((await list()).output).toContain("ready");
  });
});

describe("an operator's own weights that are not what they should be", () => {
  test.each([
    ["12345678", 2, "64 hex digits"],
    [`${"0".repeat(63)}g`, 2, "64 hex digits"],
    ["0".repeat(64), 1, "no file there has the SHA-256 00000000…: model.safetensors has"],
  ])("with %p are refused", async (digest, expected, sentence) => {
    await lay("model.safetensors", own);
    const { code, said } = await importFrom({ sha256: digest });
    expect([code, said]).toEqual([expected, expect.stringContaining(sentence)]);
    expect(existsSync(modelsDir())).toBe(false);
  });

  test("of an empty folder, or for a model that is none, are refused", async () => {
    const empty = await importFrom({ sha256 });
    expect([empty.code, empty.said]).toEqual([
      1,
      "imagesvc: there is no .safetensors file in that folder\n",
    ]);
    expect((await importFrom({ sha256, model: "clip-huge" })).code).toBe(2);
    expect((await importFrom({ model: "clip-huge" })).code).toBe(2);
  });

  test.each([
    ["of another architecture", tinySafetensors({ ...tinyClip, dimensions: 13 }, tinyTensors)],
    ["that are cut short", own.subarray(0, own.length - 4)],
    ["that are none", new TextEncoder().encode("not a safetensors file at all")],
  ])("%s are refused in one sentence, and nothing is kept", async (_what, bytes) => {
    await lay("model.safetensors", bytes);
    const { code, said } = await importFrom({ sha256: digestOf(bytes) });
    expect(code).toBe(1);
    expect(said).toStartWith("imagesvc: model.safetensors cannot be a clip-tiny: the ");
    expect(said.trim().split("\n")).toHaveLength(1);
    expect(existsSync(modelsDir())).toBe(false);
  });
});

describe("pinned weights", () => {
  test("replace those that were pinned before", async () => {
    await lay("model.safetensors", own);
    await importFrom({ sha256 });
    await served();
    await lay("model.safetensors", published);
    expect((await importFrom({ sha256: facts.sha256 })).code).toBe(0);
    expect((await served()).exactId).toBe(`${id}@${facts.sha256.slice(0, 8)}`);
    expect(await readdir(join(modelsDir(), id))).not.toContain(short);
  });

  test("give way to the published ones, once these are imported", async () => {
    await lay("own/model.safetensors", own);
    await run(runModelsImport, { sha256 }, { operands: [join(from(), "own")] });
    await lay("model.safetensors", published);
    const { code, said } = await importFrom();
    expect(code).toBe(0);
    expect(said).toContain("no longer pinned");
    expect((await served()).exactId).toBe(id);
  });

  test("are removed with all the rest, and other files stay", async () => {
    await lay("model.safetensors", own);
    await importFrom({ sha256 });
    await served();
    await writeFile(join(modelsDir(), id, "notes.txt"), "mine");
    const { said } = await run(runModelsRemove, {}, { operands: [id] });
    expect(said).toBe(`${id} is no longer here, nor pinned\n`);
    expect(await readdir(join(modelsDir(), id))).toContainAllValues(["notes.txt", `${short}.lock`]);
    expect(await readdir(join(modelsDir(), "prepared"))).toEqual([`clip-tiny-${short}-v3.lock`]);
    expect((await served()).exactId).toBe(id);
  });

  test("that are gone are not replaced by others", async () => {
    await lay("model.safetensors", own);
    await importFrom({ sha256 });
    await rm(join(modelsDir(), id, short), { recursive: true });
    const { exactId, made, mend } = await served();
    expect(exactId).toBe(`${id}@${short}`);
    expect(made).toHaveProperty("unavailable");
    expect(mend).toContain(`imagesvc models import DIR --sha256 ${sha256} --model ${id}`);
    expect((await run(runModelsList)).output).toContain("import them again");
  });

  test("whose record is broken are not replaced by others either", async () => {
    await mkdir(join(modelsDir(), id), { recursive: true });
    await writeFile(join(modelsDir(), id, "pinned.json"), '{"sha256": "x", "bytes": 1}');
    const { made, mend } = await served();
    expect(made).toEqual({
      unavailable: "The model is not served: the record of the pinned weights cannot be read.",
    });
    expect(mend).toContain(`imagesvc models remove ${id}`);
    expect((await run(runModelsVerify)).code).toBe(1);
    await run(runModelsRemove, {}, { operands: [id] });
    expect((await run(runModelsList)).output).toContain(`not here: imagesvc models pull ${id}`);
  });
});

describe("an import", () => {
  test("tells how far it is, and copies nothing where there is no room", async () => {
    await lay("model.safetensors", published);
    const shown: number[] = [];
    const at = await startImport({ show: (done) => shown.push(done) });
    expect(at.code).toBe(0);
    expect(shown.at(-1)).toBe(published.length);
    const huge = { ...facts, bytes: 2 ** 43 };
    const manifest: Models = { [id]: { ...description, source: { ...source, ...huge } } };
    // It has the length, and takes no space.
    const isMade = await truncate(join(from(), "model.safetensors"), huge.bytes).then(
      () => true,
      () => false,
    );
    if (!isMade) return leftOut("a file of 9 TB, which this file system cannot have");
    const { code, said } = await run(runModelsImport, {}, { operands: [from()], manifest });
    expect([code, said]).toEqual([1, expect.stringContaining("MB are needed: free space")]);
    expect(await readdir(join(modelsDir(), id))).not.toContain("model.safetensors.partial");
  });

  test.each([{}, { sha256: facts.sha256 }])(
    "that is interrupted ends at once, and leaves nothing half-copied: %p",
    async (options) => {
      await lay("model.safetensors", published);
      const interruption = new AbortController();
      const show = () => interruption.abort(new Error("interrupted"));
      const importing = startImport({ show, signal: interruption.signal, options });
      await expect(importing).rejects.toThrow("interrupted");
      const left = existsSync(modelsDir()) ? await readdir(modelsDir(), { recursive: true }) : [];
      expect(
        left.filter((name) => name.includes(".safetensors") && !name.endsWith(".lock")),
      ).toEqual([]);
    },
  );
});

/** Imports, with an ear for the progress, and a signal. */
async function startImport({
  show,
  signal = new AbortController().signal,
  options = {},
}: {
  show: (done: number) => void;
  signal?: AbortSignal;
  options?: Readonly<Record<string, string>>;
}) {
  const folders = { models: modelsDir(), downloads: "nowhere", cache: "nowhere" };
  const { call } = writtenCall({ folders, operands: [from()], options, interrupted: signal });
  const startProgress = () => ({ show, end: () => {} });
  return { code: await runModelsImport({ ...call, startProgress }, models) };
}

describe("a file in the Hugging Face cache", () => {
  const environment = () => ({ HF_HUB_CACHE: folder.path });
  const cached = () => hubCachePath(environment(), source) ?? "";

  /** What is found, and what is told of what is passed over. */
  async function find() {
    const model = installedModel(modelsDir(), environment(), id, { ...description, ...models[id] });
    const hub = createHub({
      endpoint: "http://127.0.0.1:1",
      token: "",
      proxy: undefined,
      isOffline: true,
    });
    const supply = createWeightsSupply(model, hub);
    const found = await supply.find();
    return {
      path: "from" in found && found.from.kind === "weights" ? found.from.path : undefined,
      fault: await supply.findFault(),
    };
  }

  test("is used where it is right, and passed over where its bytes are others", async () => {
    await mkdir(dirname(cached()), { recursive: true });
    await writeFile(cached(), published);
    expect(await find()).toEqual({ path: cached(), fault: undefined });
    await writeFile(cached(), new Uint8Array(published.length));
    expect(await find()).toEqual({
      path: undefined,
      fault:
        "In the Hugging Face cache model.safetensors is not the file that it should be: it is not used.",
    });
  });
});

describe("a published pair of ONNX files", () => {
  test.each([
    ["as in its repository", "onnx/"],
    ["loose", ""],
  ])("that lies %s is taken, and served as it stands", async (_where, place) => {
    await lay(`${place}vision_model.onnx`, pair.files["onnx/vision_model.onnx"]);
    await lay(`${place}text_model.onnx`, pair.files["onnx/text_model.onnx"]);
    const { code, said } = await importFrom();
    expect([code, said]).toEqual([0, `${id} is here: ${join(modelsDir(), id, "onnx")}\n`]);
    const { exactId, kind, made } = await served();
    expect([exactId, kind]).toEqual([id, "onnx"]);
    expect(made).toHaveProperty("textTower", join(modelsDir(), id, "onnx/text_model.onnx"));
    expect((await run(runModelsList)).output).toContain("here as ONNX, and served as it stands");
    expect((await run(runModelsVerify)).output).toContain(`right    ${id}, ONNX pair`);
  });

  test("is used only where the weights themselves are not here", async () => {
    for (const [path, bytes] of Object.entries(pair.files)) await lay(path, bytes);
    await importFrom();
    await lay("model.safetensors", published);
    await importFrom();
    expect((await served()).kind).toBe("weights");
  });

  test("of which one file is missing or another is refused, and not served", async () => {
    await lay("vision_model.onnx", pair.files["onnx/vision_model.onnx"]);
    expect((await importFrom()).said).toContain("of the ONNX pair there is no text_model.onnx");
    await lay("text_model.onnx", new Uint8Array(pair.facts.text.bytes));
    const { code, said } = await importFrom();
    expect(code).toBe(1);
    expect(said).toContain(
      "text_model.onnx is not the file that it should be: its SHA-256 is another",
    );
    expect((await served()).kind).toBe("weights");
  });

  test("is removed with all the rest", async () => {
    for (const [path, bytes] of Object.entries(pair.files)) await lay(path, bytes);
    await importFrom();
    await run(runModelsRemove, {}, { operands: [id] });
    expect(await readdir(join(modelsDir(), id))).toEqual(["onnx.lock"]);
  });
});
