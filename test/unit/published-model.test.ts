import { expect, test } from "bun:test";
import { createHash } from "node:crypto";
import { rm, truncate, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { writePublishedModel } from "../../workers/published-model.ts";
import { temporaryFolder, tinyClip, tinyTensors, writeTinyClip } from "../support/tiny-clip.ts";
import { tinySafetensors } from "../support/tiny-safetensors.ts";

async function publish(folder: string) {
  const bytes = tinySafetensors(tinyClip, tinyTensors);
  const path = join(folder, "model.safetensors");
  await writeFile(path, bytes);
  const sha256 = createHash("sha256").update(bytes).digest("hex");
  return { path, bytes: bytes.length, sha256 };
}

test("a safetensors file becomes the same graph as the tensors themselves", async () => {
  await using folder = await temporaryFolder();
  const weights = await publish(folder.path);
  const written = await writePublishedModel(folder.path, weights, tinyClip);
  const direct = await writeTinyClip(folder.path);
  if ("unavailable" in written) throw new Error(written.unavailable);
  for (const tower of ["imageTower", "textTower"] as const) {
    for (const ending of ["", ".data"]) {
      const [ours, theirs] = [written[tower], direct[tower]].map((path) => Bun.file(path + ending));
      expect(await ours?.bytes()).toEqual(await theirs?.bytes());
    }
  }
});

test("what was written once needs the weights file no more", async () => {
  await using folder = await temporaryFolder();
  const weights = await publish(folder.path);
  const first = await writePublishedModel(folder.path, weights, tinyClip);
  await rm(weights.path);
  expect(await writePublishedModel(folder.path, weights, tinyClip)).toEqual(first);
});

test("a weights file that is missing, short or another is refused in one sentence", async () => {
  await using folder = await temporaryFolder();
  const weights = await publish(folder.path);
  const foreign = { ...weights, sha256: "0".repeat(64) };
  expect(await writePublishedModel(folder.path, foreign, tinyClip)).toEqual({
    unavailable: "model.safetensors is not the published file: copy it again.",
  });
  await truncate(weights.path, weights.bytes - 1);
  expect(await writePublishedModel(folder.path, weights, tinyClip)).toEqual({
    unavailable: `model.safetensors has ${weights.bytes - 1} bytes instead of ${weights.bytes}: copy it again.`,
  });
  await rm(weights.path);
  expect(await writePublishedModel(folder.path, weights, tinyClip)).toEqual({
    unavailable: "There is no model.safetensors on this host.",
  });
});
