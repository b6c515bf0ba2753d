/** A model's files that somebody changes: while nothing runs, and under a service. */
import { afterEach, beforeEach, expect, test } from "bun:test";
import { readdir, readFile, rename, rm, stat, utimes, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { createWorker } from "../../src/backends/pool.ts";
import { imageTower } from "../../src/models/onnx/image-tower.ts";
import { encodeModel } from "../../src/models/onnx/model-proto.ts";
import { textTower } from "../../src/models/onnx/text-tower.ts";
import { modelFilesIn, preparedFolder } from "../../src/models/prepared.ts";
import { workerFiles } from "../../src/native/worker-files.ts";
import { until } from "../support/client.ts";
import { type FakeHub, startHub } from "../support/hub.ts";
import { type ServiceProcess, startProcess } from "../support/process.ts";
import { smallModel, smallProgram, smallWeights } from "../support/small-model.ts";
import { clipInput, temporaryFolder } from "../support/tiny-clip.ts";

const { architecture } = smallModel;
/** Graphs that run with the same tensors, and give other vectors. */
const foreignGraphs = {
  image: encodeModel(
    imageTower({ ...architecture, vision: { ...architecture.vision, heads: 4 } }),
    "image.onnx.data",
  ),
  text: encodeModel(
    textTower({ ...architecture, text: { ...architecture.text, heads: 4 } }),
    "text.onnx.data",
  ),
};
const weights = smallWeights();
let hub: FakeHub;
let folder: Awaited<ReturnType<typeof temporaryFolder>>;
let target: string;
let prepared: string;

beforeEach(async () => {
  folder = await temporaryFolder();
  hub = await startHub(weights);
  hub.refusal = { status: 404 };
  target = join(folder.path, smallModel.id, "model.safetensors");
  prepared = preparedFolder(join(folder.path, "prepared"), smallModel.id, hub.file.sha256);
  await Bun.write(target, weights);
});
afterEach(async () => {
  await hub[Symbol.asyncDispose]();
  await folder[Symbol.asyncDispose]();
});

async function start(): Promise<ServiceProcess> {
  const { program, environment } = await smallProgram(folder.path, hub.file);
  const own = { CLIP_WEIGHTS: "openai", HF_HUB_OFFLINE: "false", HF_ENDPOINT: hub.endpoint };
  const env = { ...own, ...environment, HOME: folder.path, MODELS_DIR: folder.path };
  return await startProcess(env, { command: [...program, "serve"] });
}

async function startReady(): Promise<ServiceProcess> {
  const service = await start();
  await service.logged(/"message":"model ready"/);
  return service;
}

/** Changes one byte; length and time of the last change stay what they were. */
async function damage(path: string): Promise<void> {
  const { atime, mtime } = await stat(path);
  const bytes = await readFile(path);
  bytes[bytes.length - 1] = 1 ^ (bytes.at(-1) ?? 0);
  await replace(path, bytes);
  await utimes(path, atime, mtime);
}

async function replace(path: string, content: string | Uint8Array): Promise<void> {
  await writeFile(`${path}.new`, content);
  await rename(`${path}.new`, path);
}

async function embedText(service: ServiceProcess): Promise<Response> {
  return await fetch(new URL("/embed-text", await service.url()), {
    method: "POST",
    headers: { "Content-Type": "application/json" },
    body: JSON.stringify({ text: "a dog" }),
  });
}

test("changed tensors are made anew at the next start, from weights that are right", async () => {
  await (await startReady())[Symbol.asyncDispose]();
  const data = join(prepared, "image.onnx.data");
  const right = await readFile(data);
  await damage(data);
  await using _service = await startReady();
  expect((await readFile(data)).equals(right)).toBe(true);
});

test("changed tensors and changed weights are refused with the mend, and never loaded", async () => {
  await (await startReady())[Symbol.asyncDispose]();
  await damage(join(prepared, "text.onnx.data"));
  await damage(target);
  await using service = await start();
  await until(() => service.log().includes("the model is not available"));
  const response = await embedText(service);
  expect(response.status).toBe(503);
  expect(await response.json()).toMatchObject({
    code: "model-unavailable",
    detail: expect.stringMatching(
      /^model\.safetensors is not the file that it should be: copy it again\. Get them with "imagesvc models pull/,
    ),
  });
});

/** Does something to a file of the text tower, and to the same as it is packed. */
async function changeBoth(name: string, change: (path: string) => Promise<unknown>) {
  await change(join(prepared, name));
  await change(join(await packedFolder(), name));
}

async function packedFolder(): Promise<string> {
  const [name] = (await readdir(prepared)).filter((one) => one.startsWith("packed-"));
  if (name === undefined) throw new Error("nothing is packed");
  return join(prepared, name);
}

test.each([
  [
    "changed",
    "text.onnx.data was changed since it was checked",
    () => changeBoth("text.onnx.data", damage),
  ],
  ["deleted", "its text tower cannot be loaded", () => changeBoth("text.onnx.data", rm)],
  [
    "emptied",
    "text.onnx was changed since it was checked",
    () => changeBoth("text.onnx", (path) => replace(path, "")),
  ],
  [
    "given another graph",
    "text.onnx was changed since it was checked",
    () => changeBoth("text.onnx", (path) => replace(path, foreignGraphs.text)),
  ],
])(
  "a tower that is %s under a service before it is loaded is refused with the mend",
  async (...given) => {
    const [, why, change] = given;
    await using service = await startReady();
    await change();
    const response = await embedText(service);
    expect(response.status).toBe(503);
    expect(await response.json()).toMatchObject({
      code: "model-unavailable",
      detail: `The model cannot be used: ${why}: start the service again, which makes it anew or says what is missing.`,
    });
    expect(service.log()).toContain("model-unavailable");
    expect(service.log()).not.toContain("a worker is warmed up again");
    await service[Symbol.asyncDispose]();
    await using again = await startReady();
    expect((await embedText(again)).status).toBe(200);
  },
);

test("an image tower that is given another graph is refused by a worker that starts later", async () => {
  await using _service = await startReady();
  const packed = modelFilesIn(await packedFolder()).imageTower;
  const { dimensions, vision } = architecture;
  const { imageTower } = modelFilesIn(prepared);
  const shape = { ...clipInput, dimensions, side: vision.side, threads: 1 };
  const model = { ...shape, imageTower, packedImageTower: packed };
  await using worker = Object.assign(createWorker(workerFiles), {
    [Symbol.asyncDispose]: () => worker.close(),
  });
  for (const path of [imageTower, packed]) await replace(path, foreignGraphs.image);
  expect(await worker.run({ kind: "warm-up", model })).toMatchObject({
    problem: {
      code: "model-unavailable",
      detail: expect.stringContaining("image.onnx was changed since it was checked"),
    },
  });
});

test("a packed tower that is changed under a service is made anew by the next; this one loads the other", async () => {
  await using service = await startReady();
  const data = join(await packedFolder(), "text.onnx.data");
  const right = await readFile(data);
  await damage(data);
  expect((await embedText(service)).status).toBe(200);
  await service[Symbol.asyncDispose]();
  await using _again = await startReady();
  expect((await readFile(data)).equals(right)).toBe(true);
});

test("packed weights are mapped by every instance, and the others by none", async () => {
  await using one = await startReady();
  await using other = await startReady();
  const data = join(await packedFolder(), "image.onnx.data");
  for (const { pid } of [one, other]) {
    const maps = await readFile(`/proc/${pid}/maps`, "utf8");
    expect(maps).toContain(data);
    expect(maps).not.toContain(join(prepared, "image.onnx.data"));
  }
});
