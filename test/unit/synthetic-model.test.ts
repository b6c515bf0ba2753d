import { expect, test } from "bun:test";
import { createHash } from "node:crypto";
import { createReadStream } from "node:fs";
import { createSession } from "../../workers/session.ts";
import { defaultModel, prepareSynthetic } from "../support/default-model.ts";
import { createTextSession } from "../support/text-session.ts";
import { temporaryFolder } from "../support/tiny-clip.ts";

const TIMEOUT_MS = 120_000;
const { dimensions } = defaultModel.architecture;
const { side } = defaultModel.architecture.vision;

/** If these must change, raise `SYNTHETIC_VERSION`, or hosts keep and serve what they have. */
const pinned = {
  "clip-vit-b-32-synthetic-v3/image.onnx":
    "1dfb385efe95527bc95c74c3d7853aac4def115d4b855e0be12dddb2f38c11d2",
  "clip-vit-b-32-synthetic-v3/image.onnx.data":
    "6f6f2fa3e0a7189aa205846730c5ea10d4d802dfa1020d4998c6c3036f7d46c6",
  "clip-vit-b-32-synthetic-v3/text.onnx":
    "648d1a256e0a3848d008321a0dd48b65252c181dc0b0a51c320115eb7dfb6a45",
  "clip-vit-b-32-synthetic-v3/text.onnx.data":
    "9f5df799bafa00410d4f2ad4a226e109a37f38678c8bcaffa09bdc4ec045e5fe",
};

test(
  "the synthetic model has the same bytes on every machine, and works",
  async () => {
    await using folder = await temporaryFolder();
    const { imageTower, textTower, packed } = await prepareSynthetic(folder.path);
    for (const [name, sha256] of Object.entries(pinned)) {
      expect([name, await digest(`${folder.path}/${name}`)]).toEqual([name, sha256]);
    }

    const packedImageTower = packed?.imageTower;
    expect(packedImageTower).toBeString();
    const tower = { imageTower, packedImageTower, dimensions, side, threads: 1 };
    const image = await createSession(tower);
    const stripes = await image.run(
      picture((x) => Math.sin(x / 5)),
      1,
    );
    const shade = await image.run(
      picture((x, y) => (x - y) / side),
      1,
    );
    await image.release();
    await using text = await createTextSession(textTower);
    const [dog = stripes, cat = dog] = await text.embed([
      [49406, 1929, 49407],
      [49406, 2368, 49407],
    ]);

    for (const vector of [stripes, shade, dog, cat]) {
      expect(vector).toHaveLength(dimensions);
      expect(Math.hypot(...vector)).toBeGreaterThan(9);
      expect(Math.hypot(...vector)).toBeLessThan(12);
    }
    expect(cosine(stripes, shade)).toBeLessThan(0.99);
    expect(cosine(dog, cat)).toBeLessThan(0.99);
  },
  TIMEOUT_MS,
);

/** A gray picture as if prepared: float32, [3, side, side]. */
function picture(gray: (x: number, y: number) => number): Float32Array<ArrayBuffer> {
  return Float32Array.from({ length: 3 * side * side }, (_, index) =>
    gray(index % side, Math.floor(index / side) % side),
  );
}

function cosine(a: Float32Array, b: Float32Array): number {
  const dot = a.reduce((sum, x, index) => sum + x * (b[index] ?? Number.NaN), 0);
  return dot / Math.hypot(...a) / Math.hypot(...b);
}

async function digest(path: string): Promise<string> {
  const hash = createHash("sha256");
  for await (const chunk of createReadStream(path, { highWaterMark: 1 << 20 })) hash.update(chunk);
  return hash.digest("hex");
}
