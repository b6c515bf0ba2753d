import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import sharp from "sharp";
import { makeJpeg } from "../support/pictures.ts";
import { startChild } from "./child.ts";
import { createPhotos, photoSize } from "./photo.ts";
import type { PixelsAnswer, PixelsQuestion } from "./pixels-child.ts";
import { peakGrowth, processMemory } from "./process-usage.ts";
import { withTail } from "./statistics.ts";

const MB = 1e6;
const times = 40;
const large = { width: 10_000, height: 10_000 };

/** From bytes to the model's input on one thread, without a service: ms beside libvips alone, and memory. */
export async function* preprocess(): AsyncGenerator<string> {
  const folder = await mkdtemp(join(tmpdir(), "imagesvc-bench-"));
  try {
    yield* speed(folder);
    yield* memory(folder);
  } finally {
    await rm(folder, { recursive: true });
  }
}

async function* speed(folder: string): AsyncGenerator<string> {
  await using child = startPixels();
  const nextPhoto = await createPhotos();
  const twoMegapixels = { width: 1632, height: 1225 };
  const twelveMegapixels = { width: 4000, height: 3000 };
  const pictures = [
    { ...photoSize, bytes: nextPhoto(), times },
    { ...twoMegapixels, bytes: await makeJpeg(twoMegapixels), times },
    { ...twelveMegapixels, bytes: await makeJpeg(twelveMegapixels), times: times / 2 },
  ];
  yield "bytes to float32 [3, 224, 224], one after the other, ms";
  for (const { width, height, bytes, times } of pictures) {
    const path = join(folder, `${width}.jpg`);
    await writeFile(path, bytes);
    const libvipsMs: number[] = [];
    const answers: PixelsAnswer[] = [];
    for (let time = 0; time < times; time += 1) {
      const startedMs = performance.now();
      await sharp(path).raw().toBuffer();
      libvipsMs.push(performance.now() - startedMs);
      answers.push(await child.ask(path));
    }
    const [decodeMs, preprocessMs] = [
      answers.map((answer) => answer.decodeMs),
      answers.map((answer) => answer.preprocessMs),
    ];
    yield `${width}×${height} JPEG: libvips alone ${withTail(libvipsMs, 1)}`;
    yield `${width}×${height} JPEG: decode, with digest and checks ${withTail(decodeMs, 1)}`;
    yield `${width}×${height} JPEG: resize, crop and tensor ${withTail(preprocessMs, 1)}`;
  }
}

async function* memory(folder: string): AsyncGenerator<string> {
  yield `${large.width}×${large.height}: resident memory, in a process of its own after one such picture, MB`;
  for (const format of ["jpeg", "png"] as const) {
    for (const orientation of [1, 6]) {
      const path = join(folder, `${orientation}.${format}`);
      await makeLargePicture(path, format, orientation);
      const { peak, kept } = await pixelsMemory(path);
      yield `${format}, EXIF orientation ${orientation}: peak +${(peak / MB).toFixed(0)}, wanted: under 500; kept +${(kept / MB).toFixed(0)}`;
    }
  }
}

/** Writes a picture of 100 megapixels that compresses well. */
export async function makeLargePicture(
  path: string,
  format: "jpeg" | "png",
  orientation: number,
): Promise<void> {
  await sharp({ create: { ...large, channels: 3, background: "#c08040" } })
    .withMetadata({ orientation })
    .toFormat(format)
    .toFile(path);
}

/**
 * By how many bytes the resident memory of a process grows while it decodes and preprocesses a picture,
 * and by how many it has grown when it is done.
 */
export async function pixelsMemory(
  path: string,
): Promise<{ readonly peak: number; readonly kept: number }> {
  await using child = startPixels();
  // Code, and what the first picture leaves for the next.
  await child.ask(path);
  const before = await processMemory(child.pid);
  const peak = await peakGrowth(child.pid, () => child.ask(path));
  const after = await processMemory(child.pid);
  return { peak, kept: after.resident - before.resident };
}

function startPixels() {
  return startChild<PixelsQuestion, PixelsAnswer>({ args: ["test/bench/pixels-child.ts"] });
}
