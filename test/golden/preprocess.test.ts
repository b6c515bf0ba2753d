/** Real pictures, decoded and preprocessed once by the reference, step by step. */
import { expect, test } from "bun:test";
import { existsSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { createResampler } from "../../src/image/resample.ts";
import { catalog } from "../../src/models/catalog.ts";
import { decodeImage, openImage } from "../../workers/decode.ts";
import { createPreprocess } from "../../workers/preprocess.ts";
import { leftOut } from "../support/left-out.ts";
import golden from "./preprocess.json";

const folder = fileURLToPath(new URL("../../../shared/golden/pictures/", import.meta.url));

/** Their licence forbids to pass them on, so nobody can be asked to have them. */
const neverBundled = ["fastembed-image.jpeg", "fastembed-small_image.jpeg"];

const side = 224;
const resample = createResampler(side);
const { mean, std } = catalog["clip-ViT-B-32"].preprocessing;
const preprocess = createPreprocess({ side, mean, std });
const sha256 = (bytes: Uint8Array) => new Bun.CryptoHasher("sha256").update(bytes).digest("hex");

for (const [name, expected] of Object.entries(golden)) {
  test(`${name}: pixels, crop and tensor are the reference's, bit for bit`, async () => {
    const path = `${folder}${name}`;
    if (!existsSync(path)) {
      if (neverBundled.includes(name)) process.stderr.write(`not bundled: ${name}\n`);
      else leftOut(`golden picture ${name}, which is not in ../shared/golden/pictures`);
      return;
    }
    const options = { maxPixels: 100_000_000, orientation: "ignore" } as const;
    const image = await decodeImage({ kind: "file", path }, options);
    const { width, height, rgb } = image;
    expect(image.facts.sha256).toBe(expected.file_sha256);
    expect([width, height]).toEqual(expected.size);
    expect(sha256(rgb)).toBe(expected.decoded_rgb_sha256);
    expect(sha256(resample(image))).toBe(expected.rgb224_sha256);
    const tensor = new Float32Array(3 * side * side);
    await preprocess(await openImage({ kind: "file", path }, options), tensor, 0);
    expect([...tensor.subarray(0, 4)]).toEqual(expected.first_pixels);
    expect(sha256(new Uint8Array(tensor.buffer))).toBe(expected.pixel_values_f32le_sha256);
  });
}
