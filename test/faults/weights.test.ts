/** Weights that are spoilt under a service that runs. */
import { expect, test } from "bun:test";
import { cp, link, readdir, readFile, rename, stat, truncate } from "node:fs/promises";
import { join } from "node:path";
import { createWorker } from "../../src/backends/pool.ts";
import { imageTower } from "../../src/models/onnx/image-tower.ts";
import { encodeModel } from "../../src/models/onnx/model-proto.ts";
import { textTower } from "../../src/models/onnx/text-tower.ts";
import { preparedFolderIn, syntheticFolder } from "../../src/models/prepared.ts";
import { workerFiles } from "../../src/native/worker-files.ts";
import { answerOf, expectProblem, postFile, postJson } from "../support/client.ts";
import { defaultModel } from "../support/default-model.ts";
import { makeJpeg } from "../support/pictures.ts";
import { type ServiceProcess, startProcess } from "../support/process.ts";
import { testModelsDir } from "../support/service.ts";
import { clipInput, temporaryFolder } from "../support/tiny-clip.ts";

const clip = "?model=clip-ViT-B-32";
const jpeg = await makeJpeg();

async function startReady(environment: Readonly<Record<string, string>> = {}) {
  const service = await startProcess(environment);
  await service.logged(/"model ready"/);
  return service;
}

async function vectorOf(service: ServiceProcess): Promise<readonly number[]> {
  const response = await postFile({ url: await service.url() }, jpeg, { query: clip });
  return (await answerOf(response)).vector;
}

/** A copy of the synthetic model, to be spoilt. */
async function copyModel() {
  {
    // It is written by the first who needs it.
    await using _service = await startReady();
  }
  const folder = await temporaryFolder();
  const from = syntheticFolder(preparedFolderIn(testModelsDir), defaultModel.id);
  const prepared = syntheticFolder(preparedFolderIn(folder.path), defaultModel.id);
  await cp(from, prepared, { recursive: true });
  const files = await readdir(prepared, { recursive: true });
  const find = (pattern: RegExp) => {
    const found = files.find((file) => pattern.test(file));
    if (found === undefined) throw new Error(`no ${pattern} among ${files}`);
    return join(prepared, found);
  };
  return {
    path: folder.path,
    image: find(/packed-[^/]+\/image\.onnx\.data$/),
    /** Packed, and what is loaded in its place. */
    texts: [find(/packed-[^/]+\/text\.onnx\.data$/), find(/^text\.onnx\.data$/)],
    imageGraphs: [find(/packed-[^/]+\/image\.onnx$/), find(/^image\.onnx$/)] as const,
    textGraphs: [find(/packed-[^/]+\/text\.onnx$/), find(/^text\.onnx$/)],
    [Symbol.asyncDispose]: () => folder[Symbol.asyncDispose](),
  };
}

const { architecture } = defaultModel;
/** Graphs that run with the same tensors, and give other vectors. */
const foreignGraphs = {
  image: encodeModel(
    imageTower({ ...architecture, vision: { ...architecture.vision, heads: 8 } }),
    "image.onnx.data",
  ),
  text: encodeModel(
    textTower({ ...architecture, text: { ...architecture.text, heads: 4 } }),
    "text.onnx.data",
  ),
};

/** Puts one content into the place of files, while `work` is done. */
async function swapped(paths: readonly string[], content: Uint8Array, work: () => Promise<void>) {
  const others = await Promise.all(paths.map((path) => readFile(path)));
  const put = async (path: string, bytes: Uint8Array) => {
    await Bun.write(`${path}.other`, bytes);
    await rename(`${path}.other`, path);
  };
  for (const path of paths) await put(path, content);
  await work();
  for (const [index, path] of paths.entries()) await put(path, others[index] ?? content);
}

/** Warms up a worker that starts now. */
async function startLater([packedImageTower, imageTower]: readonly [string, string]) {
  const worker = createWorker(workerFiles);
  const { dimensions, vision } = architecture;
  const model = { ...clipInput, imageTower, packedImageTower, dimensions, threads: 1 };
  try {
    return await worker.run({ kind: "warm-up", model: { ...model, side: vision.side } });
  } finally {
    await worker.close();
  }
}

test("towers spoilt while they are served: what is renamed over changes nothing, what is cut short ends the process, and the next start makes them anew", async () => {
  await using model = await copyModel();
  // Every vector is to come from the model.
  const environment = { MODELS_DIR: model.path, CACHE_MAX_BYTES: "0" };
  let before: readonly number[];
  {
    await using service = await startReady(environment);
    const place = { url: await service.url() };
    before = await vectorOf(service);
    await swapped(model.imageGraphs, foreignGraphs.image, async () => {
      expect(await startLater(model.imageGraphs)).toHaveProperty(
        "problem.code",
        "model-unavailable",
      );
    });
    // It is loaded with the first text.
    await swapped(model.textGraphs, foreignGraphs.text, async () => {
      await expectProblem(
        await postJson(place, "/embed-text", { text: "a cat" }),
        "model-unavailable",
      );
    });
    for (const text of model.texts) await truncate(text, 1000);
    await expectProblem(
      await postJson(place, "/embed-text", { text: "a cat" }),
      "model-unavailable",
    );
    expect(await vectorOf(service)).toEqual(before);
    const mapped = `${model.image}.mapped`;
    await link(model.image, mapped);
    await Bun.write(`${model.image}.other`, "others");
    await rename(`${model.image}.other`, model.image);
    expect(await vectorOf(service)).toEqual(before);
    await truncate(mapped, 1000);
    await expect(postFile(place, jpeg, { query: clip })).rejects.toThrow();
    // By the kernel's SIGBUS: a service manager starts it again.
    expect(await service.exited).not.toBe(0);
  }
  await using next = await startReady(environment);
  expect(await vectorOf(next)).toEqual(before);
  const text = await postJson({ url: await next.url() }, "/embed-text", { text: "a cat" });
  expect(text.status).toBe(200);
  // Nobody but root does that by accident: what is made may only be read.
  expect((await stat(model.image)).mode & 0o222).toBe(0);
});
