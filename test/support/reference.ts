/** The pictures and texts on which this service is compared with transformers' CLIPModel, and what that made of them. */
import { existsSync } from "node:fs";
import { mkdir, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { makePatternPng } from "../../src/image/pattern.ts";
import type { ClipArchitecture } from "../../src/models/onnx/architecture.ts";
import { items } from "../golden/tokens.json" with { type: "json" };
import { leftOut } from "./left-out.ts";
import {
  type Bytes,
  makeCmykJpeg,
  makeGif,
  makeGrayJpeg,
  makeGrayPng,
  makeJpeg,
  makePalettePng,
  makeRgbaPng,
  makeTiff,
  makeWebp,
} from "./pictures.ts";
import { repositoryRoot } from "./source-files.ts";

/** What `reference.py` prints. Vectors are float32, little-endian, in base64. */
export interface Reference {
  readonly madeWith: string;
  readonly images: Readonly<
    Record<
      string,
      { readonly sha256: string; readonly pixelValuesSha256: string; readonly vector: string }
    >
  >;
  readonly texts: readonly {
    readonly text: string;
    readonly ids: readonly number[];
    readonly vector: string;
  }[];
}

/** A picture in a file. */
export interface PictureFile {
  readonly name: string;
  readonly path: string;
}

const odd = { width: 401, height: 267, kind: "noise", seed: 5 } as const;

/**
 * Pictures of our own making: every way of storing colours, and every format but AVIF, which Pillow reads
 * with another library, one that rounds its colours otherwise.
 */
const makers: Readonly<Record<string, () => Bytes | Promise<Bytes>>> = {
  "pattern-640x480.png": () => makePatternPng(640, 480),
  "pattern-96x130.png": () => makePatternPng(96, 130),
  "gradient.jpg": () => makeJpeg({ width: 500, height: 375 }),
  "page.jpg": () => makeJpeg({ width: 300, height: 420, kind: "text", quality: 40 }),
  "noise-progressive.jpg": () => makeJpeg({ ...odd, progressive: true }),
  "gray.jpg": () => makeGrayJpeg(odd),
  "ink.jpg": () => makeCmykJpeg(odd),
  "alpha.png": () => makeRgbaPng(odd),
  "palette.png": () => makePalettePng({ width: 240, height: 250 }),
  "gray.png": () => makeGrayPng(odd),
  "page.webp": () => makeWebp({ width: 300, height: 420, kind: "text" }),
  "page.gif": () => makeGif({ width: 300, height: 420, kind: "text" }),
  "noise.tif": () => makeTiff(odd),
};

const photos = ["CLIP.png", "st-cat.jpg", "st-eiffel-tower-day.jpg", "st-two_dogs_in_snow.jpg"];
const photoFolder = join(repositoryRoot, "../shared/golden/pictures");

/** Writes the pictures of our own making into a folder, and finds the photos that are on this machine. */
export async function findPictures(folder: string): Promise<readonly PictureFile[]> {
  await mkdir(folder, { recursive: true });
  const pictures: PictureFile[] = [];
  for (const [name, make] of Object.entries(makers)) {
    const path = join(folder, name);
    await writeFile(path, await make());
    pictures.push({ name, path });
  }
  for (const name of photos) {
    const path = join(photoFolder, name);
    if (existsSync(path)) pictures.push({ name, path });
    else leftOut(`golden picture ${name}, which is not in ../shared/golden/pictures`);
  }
  return pictures;
}

/** Every golden text but markup, which we read otherwise on purpose, with the reference's token ids. */
export const referenceTexts = items
  .filter(({ text }) => !text.includes("<|"))
  .map(({ text, hf_ids }) => ({ text, ids: hf_ids }));

/** Runs `reference.py`, with PYTHON where that is set, else with uv, which installs what it needs. */
export async function runReference(
  folder: string,
  job: {
    readonly weights: string;
    readonly architecture: ClipArchitecture;
    readonly images: readonly PictureFile[];
    readonly texts: readonly { readonly text: string; readonly ids: readonly number[] }[];
  },
): Promise<Reference> {
  const jobPath = join(folder, "job.json");
  await writeFile(jobPath, JSON.stringify(job));
  const script = join(repositoryRoot, "test/golden/reference.py");
  const python = Bun.env["PYTHON"];
  const command = python === undefined ? ["uv", "run", "--script"] : [python];
  const child = Bun.spawn([...command, script, jobPath], { stdout: "pipe", stderr: "inherit" });
  const [output, code] = await Promise.all([new Response(child.stdout).text(), child.exited]);
  if (code !== 0) throw new Error(`reference.py ended with ${code}`);
  return JSON.parse(output);
}

/** float32, [dimensions], from base64. */
export function decodeVector(base64: string): Float32Array {
  return new Float32Array(Uint8Array.fromBase64(base64).buffer);
}
