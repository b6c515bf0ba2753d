/** Weights that are spoilt under a service that runs. */
import { expect, test } from "bun:test";
import { cp, link, readdir, rename, stat, truncate } from "node:fs/promises";
import { join } from "node:path";
import { answerOf, expectProblem, postFile, postJson } from "../support/client.ts";
import { makeJpeg } from "../support/pictures.ts";
import { type ServiceProcess, startProcess } from "../support/process.ts";
import { testModelsDir } from "../support/service.ts";
import { temporaryFolder } from "../support/tiny-clip.ts";

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
  const prepared = join(testModelsDir, "prepared");
  await cp(prepared, join(folder.path, "prepared"), { recursive: true });
  const files = await readdir(folder.path, { recursive: true });
  const find = (end: string) => {
    const found = files.find((file) => file.endsWith(end));
    if (found === undefined) throw new Error(`no ${end} among ${files}`);
    return join(folder.path, found);
  };
  return {
    path: folder.path,
    image: find("image.onnx.data"),
    text: find("text.onnx.data"),
    [Symbol.asyncDispose]: () => folder[Symbol.asyncDispose](),
  };
}

test("towers spoilt while they are served: what is renamed over changes nothing, what is cut short ends the process, and the next start makes them anew", async () => {
  await using model = await copyModel();
  const environment = { MODELS_DIR: model.path };
  let before: readonly number[];
  {
    await using service = await startReady(environment);
    const place = { url: await service.url() };
    before = await vectorOf(service);
    // It is loaded with the first text.
    await truncate(model.text, 1000);
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
