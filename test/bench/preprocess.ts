import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import sharp, { type Sharp } from "sharp";
import { makeJpeg } from "../support/pictures.ts";
import { startChild } from "./child.ts";
import { createPhotos, photoSize } from "./photo.ts";
import type { PixelsAnswer, PixelsQuestion } from "./pixels-child.ts";
import { peakGrowth, processMemory } from "./process-usage.ts";
import { tableHead, tableRow, verdictOf } from "./report.ts";
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
  yield "bytes to float32 [3, 224, 224], one after the other on one thread, ms";
  yield* tableHead([
    "JPEG",
    "libvips alone",
    "decode, with digest and checks",
    "resize, crop and tensor",
  ]);
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
    const cells = [libvipsMs, decodeMs, preprocessMs].map((ms) => withTail(ms, 1));
    yield tableRow([`${width}×${height}`, ...cells]);
  }
}

async function* memory(folder: string): AsyncGenerator<string> {
  yield `${large.width}×${large.height}: resident memory, in a process of its own after one such picture, MB`;
  yield* tableHead([
    "picture",
    "EXIF orientation",
    "peak, MB",
    "kept, MB",
    "decoded",
    "wanted",
    "",
  ]);
  for (const [kind, orientation] of largeKinds) {
    const path = join(folder, "large");
    await makeLargePicture(path, kind, orientation);
    const { peak, kept, strips } = await pixelsMemory(path);
    const { width, height } = sizeOf(kind);
    yield tableRow([
      `${kind}, ${width}×${height}`,
      String(orientation),
      (peak / MB).toFixed(0),
      (kept / MB).toFixed(0),
      `${strips}×`,
      "peak under 500",
      verdictOf(peak < 500 * MB),
    ]);
  }
}

type LargeKind = keyof typeof encoders;

const encoders = {
  JPEG: (picture) => picture.jpeg(),
  "progressive JPEG": (picture) => picture.jpeg({ progressive: true }),
  "progressive JPEG, 4:4:4": (picture) =>
    picture.jpeg({ progressive: true, chromaSubsampling: "4:4:4" }),
  PNG: (picture) => picture.png(),
  "interlaced PNG": (picture) => picture.png({ progressive: true }),
  TIFF: (picture) => picture.tiff({ compression: "lzw" }),
  GIF: (picture) => picture.gif(),
  WebP: (picture) => picture.webp({ effort: 0 }),
  AVIF: (picture) => picture.avif({ effort: 0 }),
} as const satisfies Record<string, (picture: Sharp) => Sharp>;

const largeKinds: readonly (readonly [LargeKind, orientation: number])[] = [
  ["JPEG", 1],
  ["JPEG", 6],
  ["PNG", 1],
  ["PNG", 6],
  ["progressive JPEG", 6],
  ["progressive JPEG, 4:4:4", 6],
  ["interlaced PNG", 6],
  ["TIFF", 6],
  ["GIF", 1],
  ["WebP", 6],
  ["AVIF", 1],
];

/** 100 megapixels, or the most that are decoded of a kind where these are fewer. */
function sizeOf(kind: LargeKind): { readonly width: number; readonly height: number } {
  if (kind === "AVIF") return { width: 5000, height: 5000 };
  if (kind === "WebP") return { width: 7500, height: 7500 };
  return kind === "progressive JPEG, 4:4:4" ? { width: 8300, height: 8300 } : large;
}

/** Writes a picture of one colour, as large as is decoded of its kind. */
export async function makeLargePicture(
  path: string,
  kind: LargeKind,
  orientation: number,
): Promise<void> {
  const create = { ...sizeOf(kind), channels: 3, background: "#c08040" } as const;
  await encoders[kind](sharp({ create }).withMetadata({ orientation })).toFile(path);
}

/**
 * By how many bytes the resident memory of a process grows while it decodes and preprocesses a picture,
 * and by how many it has grown when it is done.
 */
export async function pixelsMemory(
  path: string,
): Promise<{ readonly peak: number; readonly kept: number; readonly strips: number }> {
  await using child = startPixels();
  // Code, and what the first picture leaves for the next.
  const { strips } = await child.ask(path);
  const before = await processMemory(child.pid);
  const peak = await peakGrowth(child.pid, () => child.ask(path));
  const after = await processMemory(child.pid);
  return { peak, kept: after.resident - before.resident, strips };
}

function startPixels() {
  return startChild<PixelsQuestion, PixelsAnswer>({ args: ["test/bench/pixels-child.ts"] });
}
