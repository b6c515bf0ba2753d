/** `imagesvc models …` as a user who may not read, or not delete, what is there: one sentence with the mend. */
import { afterAll, beforeEach, expect, test } from "bun:test";
import { chmod, mkdir, rm, truncate, writeFile } from "node:fs/promises";
import { dirname, join } from "node:path";
import { catalog } from "../../src/models/catalog.ts";
import { temporaryFolder } from "../support/tiny-clip.ts";
import { runUnprivileged } from "../support/unprivileged.ts";

const id = "clip-ViT-B-32";
const { bytes = 0 } = catalog[id].source;
const folder = await temporaryFolder();
await chmod(folder.path, 0o755);
afterAll(() => folder[Symbol.asyncDispose]());

const modelsDir = join(folder.path, "models");
const weights = join(modelsDir, id, "model.safetensors");
const record = join(modelsDir, id, "pinned.json");
const from = join(folder.path, "from");
const unreadable = "model.safetensors cannot be read (EACCES): let the user who runs this read it";
const notOurs =
  "MODELS_DIR cannot be read and written: give it to the user of the service, or choose another folder";

beforeEach(async () => {
  for (const path of [modelsDir, from]) await rm(path, { recursive: true, force: true });
  await mkdir(dirname(weights), { recursive: true });
  await mkdir(from);
});

/** A file of this length that takes no space, and that only its owner may read. */
async function laySecret(path: string): Promise<void> {
  await writeFile(path, "", { mode: 0o600 });
  await truncate(path, bytes);
}

async function run(...argv: readonly string[]) {
  const environment = {
    MODELS_DIR: modelsDir,
    CACHE_DIR: join(folder.path, "cache"),
    HOME: folder.path,
    CLIP_MODEL: id,
    HF_ENDPOINT: "http://127.0.0.1:9",
  };
  const ended = await runUnprivileged(["models", ...argv], environment);
  return ended && { ...ended, lines: ended.errors.trimEnd().split("\n") };
}

test("pull says which file it cannot read, and does not replace it", async () => {
  await laySecret(weights);
  const ended = await run("pull");
  if (ended === undefined) return;
  expect([ended.code, ended.lines]).toEqual([
    1,
    [`imagesvc: ${id} was not downloaded: ${unreadable}`],
  ]);
});

test("verify says which file it cannot read", async () => {
  await laySecret(weights);
  const ended = await run("verify", "--pictures", from);
  if (ended === undefined) return;
  expect(ended.code).toBe(1);
  expect(ended.output).toContain(`wrong    ${id}, weights: ${unreadable}\n`);
});

test.each([[[]], [["--sha256", "0".repeat(64)]]])(
  "import says which file it cannot read: %p",
  async (options) => {
    await laySecret(join(from, "model.safetensors"));
    await chmod(dirname(weights), 0o777);
    const ended = await run("import", from, ...options);
    if (ended === undefined) return;
    expect([ended.code, ended.lines]).toEqual([
      1,
      [`imagesvc: nothing was imported: ${unreadable}`],
    ]);
  },
);

test.each([[[]], [["--sha256", "0".repeat(64)]]])(
  "import says that it cannot read the folder: %p",
  async (options) => {
    await chmod(from, 0);
    const ended = await run("import", from, ...options);
    if (ended === undefined) return;
    expect([ended.code, ended.lines]).toEqual([
      1,
      [
        "imagesvc: nothing was imported: from cannot be read (EACCES): let the user who runs this read it",
      ],
    ]);
  },
);

test("remove says that it may not, and deletes nothing", async () => {
  await laySecret(weights);
  const ended = await run("remove", id);
  if (ended === undefined) return;
  expect([ended.code, ended.lines]).toEqual([1, [`imagesvc: ${id} was not removed: ${notOurs}.`]]);
  expect(await Bun.file(weights).exists()).toBe(true);
});

test("a record of pinned weights that may not be read now is not to be removed", async () => {
  await writeFile(record, "{}", { mode: 0o600 });
  const ended = await run("list");
  if (ended === undefined) return;
  expect(ended.output).toContain(`the record of the pinned weights cannot be read: ${notOurs}\n`);
  await chmod(record, 0o644);
  const broken = await run("list");
  expect(broken?.output).toContain(`use "imagesvc models remove ${id}", and take the weights anew`);
});
