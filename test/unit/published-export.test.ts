/** A published pair of ONNX files, served as it stands. */
import { expect, test } from "bun:test";
import { mkdir, readFile, rename, writeFile } from "node:fs/promises";
import { basename, join } from "node:path";
import type { ModelToWrite } from "../../src/backends/protocol.ts";
import { prepareModel } from "../../workers/prepare-model.ts";
import { createSession, createTextSession } from "../../workers/session.ts";
import { relativeDifference } from "../support/difference.ts";
import { plainImageEmbedding, plainTextEmbedding } from "../support/plain-clip.ts";
import { temporaryFolder, tinyClip, tinyTensors } from "../support/tiny-clip.ts";
import { type TinyExport, tinyExport } from "../support/tiny-export.ts";

const { dimensions } = tinyClip;
const { side } = tinyClip.vision;

/** Lays a pair into a folder. */
async function lay(folder: string, { files, facts }: TinyExport): Promise<ModelToWrite> {
  await mkdir(folder, { recursive: true });
  for (const [path, bytes] of Object.entries(files)) {
    await writeFile(join(folder, basename(path)), bytes);
  }
  const towers = {
    imageTower: join(folder, "vision_model.onnx"),
    textTower: join(folder, "text_model.onnx"),
  };
  const { image, text } = facts;
  return { folder, from: { kind: "onnx", files: towers, image, text, architecture: tinyClip } };
}

test("a right pair gives the vectors of its weights, attention mask or not", async () => {
  await using folder = await temporaryFolder();
  const files = await prepareModel(await lay(folder.path, tinyExport()));
  if ("unavailable" in files) throw new Error(files.unavailable);
  const pixels = new Float32Array(3 * side * side).map((_, index) => Math.sin(index));
  expect(files.packed?.imageTower).toContain(join(folder.path, "packed-"));
  const packedImageTower = files.packed?.imageTower;
  const image = await createSession({ ...files, packedImageTower, dimensions, side, threads: 1 });
  const expected = plainImageEmbedding(tinyClip, tinyTensors, pixels);
  expect(relativeDifference(await image.run(pixels, 1), expected)).toBeLessThan(1e-4);
  await image.release();
  const ids = [28, 3, 7, 29];
  const packedTextTower = files.packed?.textTower;
  const text = await createTextSession({ ...files, packedTextTower, dimensions, threads: 1 });
  const vector = await text.run(BigInt64Array.from(ids, BigInt), 1, ids.length);
  const plain = plainTextEmbedding(tinyClip, tinyTensors, ids);
  expect(relativeDifference(vector, plain)).toBeLessThan(1e-4);
  await text.release();
});

test("a pair is hashed once, and again when it looks changed", async () => {
  await using folder = await temporaryFolder();
  const model = await lay(folder.path, tinyExport());
  await prepareModel(model);
  const record = () => readFile(join(folder.path, "checked.json"), "utf8");
  const before = await record();
  await prepareModel(model);
  expect(await record()).toBe(before);
  const damaged = await readFile(join(folder.path, "text_model.onnx"));
  damaged[damaged.length - 20] = 1 ^ (damaged.at(-20) ?? 0);
  await writeFile(join(folder.path, "text_model.onnx"), damaged);
  expect(await prepareModel(model)).toEqual({
    unavailable:
      'text_model.onnx is not the published file: take it again with "imagesvc models import DIR".',
  });
});

test("a tower of a pair that changes under a service is not loaded, nor packed ones that do", async () => {
  await using folder = await temporaryFolder();
  const files = await prepareModel(await lay(folder.path, tinyExport()));
  if ("unavailable" in files || files.packed === undefined) throw new Error("it is not ready");
  const { packed, ...pair } = files;
  for (const path of [pair.textTower, packed.textTower]) await writeFile(`${path}.new`, "other");
  for (const path of [pair.textTower, packed.textTower]) await rename(`${path}.new`, path);
  const packedTextTower = packed.textTower;
  await expect(
    createTextSession({ ...pair, packedTextTower, dimensions, threads: 1 }),
  ).rejects.toThrow("text_model.onnx was changed since it was checked");
});

test("what lies beside a pair as its tensors is named: none belong to it", async () => {
  await using folder = await temporaryFolder();
  const model = await lay(folder.path, tinyExport());
  await writeFile(join(folder.path, "text_model.onnx.data"), "tensors");
  expect(await prepareModel(model)).toEqual({
    unavailable: "text_model.onnx.data does not belong to the published pair: delete it.",
  });
});

test("a graph that takes or gives something else is named, and not served", async () => {
  await using folder = await temporaryFolder();
  const named = (name: string) =>
    tinyExport((graph) => ({
      ...graph,
      inputs: graph.inputs.map((input) => ({ ...input, name })),
      nodes: graph.nodes.map((node) => ({
        ...node,
        inputs: node.inputs.map((input) => (input === "pixel_values" ? name : input)),
      })),
    }));
  expect(await prepareModel(await lay(folder.path, named("pixels")))).toEqual({
    unavailable:
      "The model cannot be used: the image tower turns pixels into image_embeds instead of pixel_values into image_embeds.",
  });
  const flat = tinyExport((graph) => ({
    ...graph,
    outputs: [{ name: "image_embeds", type: "float32", shape: ["batch", dimensions] }],
    constants: graph.constants,
    weights: graph.weights.map((weight) =>
      weight.name === "visual_projection.weight"
        ? {
            ...weight,
            shape: [dimensions, 16],
            read: () => new Float32Array(dimensions * 16).fill(Number.NaN),
          }
        : weight,
    ),
  }));
  expect(await prepareModel(await lay(folder.path, flat))).toEqual({
    unavailable: "The model cannot be used: the image tower gave a number that is not finite.",
  });
});

test("a graph that normalises is named, and not served: the reference's vectors have their length", async () => {
  await using folder = await temporaryFolder();
  const normalised = tinyExport((graph) => ({
    ...graph,
    nodes: [
      ...graph.nodes.map((node) =>
        node.output === "image_embeds" ? { ...node, output: "raw_embeds" } : node,
      ),
      {
        operator: "LpNormalization",
        domain: "",
        inputs: ["raw_embeds"],
        output: "image_embeds",
        attributes: { axis: { int: -1 }, p: { int: 2 } },
      },
    ],
  }));
  expect(await prepareModel(await lay(folder.path, normalised))).toEqual({
    unavailable:
      "The model cannot be used: the image tower gives vectors of unit length, and the reference's are not.",
  });
});
