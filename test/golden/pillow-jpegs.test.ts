/** Lossy pictures of our own making, decoded once by Pillow 9.4: ours must be the same, bit for bit. */
import { expect, test } from "bun:test";
import { decodeImage } from "../../workers/decode.ts";
import {
  type Bytes,
  makeCmykJpeg,
  makeGrayJpeg,
  makeJpeg,
  makeTiff,
  type PictureOptions,
} from "../support/pictures.ts";
import golden from "./pillow-jpegs.json";

const odd: PictureOptions = { width: 201, height: 133, kind: "noise", seed: 3 };

const makers: readonly (readonly [keyof typeof golden, () => Promise<Bytes>])[] = [
  ["gradient", () => makeJpeg()],
  ["text", () => makeJpeg({ kind: "text", width: 160, height: 120, quality: 40 })],
  ["odd size", () => makeJpeg(odd)],
  ["progressive", () => makeJpeg({ ...odd, progressive: true })],
  ["high quality", () => makeJpeg({ ...odd, quality: 95 })],
  ["lying on its side", () => makeJpeg({ ...odd, orientation: 6 })],
  ["gray", () => makeGrayJpeg(odd)],
  ["CMYK", () => makeCmykJpeg(odd)],
  ["one pixel", () => makeJpeg({ width: 1, height: 1 })],
  ["JPEG in TIFF", () => makeTiff({ ...odd, compression: "jpeg" })],
];

const sha256 = (bytes: Uint8Array) => new Bun.CryptoHasher("sha256").update(bytes).digest("hex");

for (const [name, make] of makers) {
  test(`${name}: decodes to the pixels that Pillow decodes`, async () => {
    const bytes = await make();
    const { rgb, facts } = await decodeImage(
      { kind: "memory", bytes },
      { maxPixels: 1_000_000, orientation: "ignore" },
    );
    const expected = golden[name];
    // Another version of sharp may encode otherwise: then Pillow has to decode the new bytes.
    expect(facts.sha256).toBe(expected.bytesSha256);
    expect(sha256(rgb)).toBe(expected.rgbSha256);
  });
}
