/**
 * CLIP's resize and centre crop, bit for bit as Hugging Face's PIL image processor does them.
 *
 * @see transformers 4.x `image_processing_clip.py` (`resize`, `center_crop`).
 * @see Pillow 9.4 `src/libImaging/Resample.c` (`ImagingResampleInner`): the horizontal pass comes first
 *   and leaves whole samples, so it matters along which axis the upright image is narrowed.
 */
import { type StoredPixels, turnOf, turnUpright } from "./orientation.ts";
import {
  createResampleKernels,
  encodeTaps,
  type ResampleKernels,
  SLACK_BYTES,
} from "./resample-kernels.ts";
import type { Strip } from "./strips.ts";
import { tapsOfCrop } from "./taps.ts";

const PIXEL_BYTES = 3;
/** Bytes of whole rows that are copied to the kernels at a time: they stay in a core's cache. */
const STRIPE_BYTES = 256 * 1024;
/** Bytes of each row that are copied at a time where columns are shortened first. */
const BLOCK_WIDTH = 768;
const PAGE_BYTES = 64 * 1024;

/**
 * Turns an image upright, scales its short side, keeping its shape, and cuts the centre out. Computes
 * nothing outside of the crop, so the cost does not grow with how long the image is.
 *
 * @param image left untouched; its width and height are at least 1.
 * @returns uint8, [side, side, 3].
 */
export type Resample = (image: StoredPixels) => Uint8Array;

/** What is known of an image before its pixels are. */
export type StoredSize = Omit<StoredPixels, "rgb">;

/** The same for an image that comes in strips. */
export interface Resampling {
  /**
   * Takes the next strip: whole rows from the top down, or where the image lies on its side whole columns
   * from the left.
   *
   * @param rgb uint8, [strip.height, strip.width, 3]; left untouched, and not needed afterwards.
   */
  add(strip: Strip, rgb: Uint8Array): void;
  /** @returns uint8, [side, side, 3]: a view of what the next image overwrites. */
  finish(): Uint8Array;
}

/**
 * Makes a resampler with memory of its own, some MB that its next images use again.
 *
 * @param side pixels of the result's width and height.
 */
export function createResampler(side: number): Resample {
  const start = createStripResampler(side);
  return (image) => {
    const resampling = start(image);
    resampling.add({ left: 0, top: 0, width: image.width, height: image.height }, image.rgb);
    return resampling.finish().slice();
  };
}

/** Makes a resampler of images that come in strips, one image at a time: the next ends the one before. */
export function createStripResampler(side: number): (image: StoredSize) => Resampling {
  const kernels = createResampleKernels();
  const plans = new Map<string, ResamplePlan>();
  const planFor = (size: StoredSize) => {
    const key = `${size.width} ${size.height} ${size.orientation}`;
    const plan = plans.get(key) ?? planResampling(size, side);
    // Whatever was asked for last stands last.
    plans.delete(key);
    plans.set(key, plan);
    for (const oldest of plans.keys()) {
      if (plans.size <= maxPlans) break;
      plans.delete(oldest);
    }
    return plan;
  };
  return (image) => startResampling(kernels, planFor(image), side);
}

/** Sizes whose weights are remembered: pictures of one camera, or of one list, have the same. */
const maxPlans = 4;

/** What follows from an image's size alone. */
type ResamplePlan = ReturnType<typeof planResampling>;

function planResampling({ width, height, orientation }: StoredSize, side: number) {
  const { isMirrored, isFlipped, isTransposed } = turnOf(orientation);
  const short = Math.min(width, height);
  const columns = tapsOfCrop(width, short, side, isMirrored);
  const rows = tapsOfCrop(height, short, side, isFlipped);
  const rowBytes = (columns.end - columns.begin) * PIXEL_BYTES;
  const rowCount = rows.end - rows.begin;
  const cropPitch = side * PIXEL_BYTES;

  // A tile is what the first pass works on: whole rows to narrow, or whole columns to shorten.
  const tileWidth = isTransposed ? BLOCK_WIDTH : rowBytes;
  const tileHeight = isTransposed ? rowCount : Math.max(1, Math.floor(STRIPE_BYTES / rowBytes));
  const betweenPitch = (isTransposed ? rowBytes : cropPitch) + SLACK_BYTES;
  return {
    isTransposed,
    columns: { begin: columns.begin },
    rows: { begin: rows.begin },
    rowBytes,
    rowCount,
    cropPitch,
    tileWidth,
    tileHeight,
    betweenPitch,
    across: encodeTaps(columns, PIXEL_BYTES),
    down: encodeTaps(rows, isTransposed ? tileWidth : betweenPitch),
  };
}

function startResampling(
  { memory, narrow, shorten }: ResampleKernels,
  plan: ResamplePlan,
  side: number,
): Resampling {
  const { isTransposed, columns, rows, rowBytes, rowCount, cropPitch } = plan;
  const { tileWidth, tileHeight, betweenPitch, across, down } = plan;
  const at = layOut(memory, {
    across: across.byteLength,
    down: down.byteLength,
    // The last pair of taps may reach for a row that is not there, with a weight of 0.
    tile: (tileHeight + 1) * tileWidth,
    between: (isTransposed ? side : rowCount + 1) * betweenPitch,
    crop: side * cropPitch,
  });
  const bytes = new Uint8Array(memory.buffer);
  bytes.set(bytesOf(across), at.across);
  bytes.set(bytesOf(down), at.down);

  return {
    add: (strip, rgb) => {
      // What of the crop's rows and columns the strip holds, counted from the crop's first.
      const firstRow = Math.max(0, strip.top - rows.begin);
      const endRow = Math.min(rowCount, strip.top + strip.height - rows.begin);
      const firstByte = Math.max(0, strip.left - columns.begin) * PIXEL_BYTES;
      const endByte = Math.min(rowBytes, (strip.left + strip.width - columns.begin) * PIXEL_BYTES);
      const pitch = strip.width * PIXEL_BYTES;
      for (let y = firstRow; y < endRow; y += tileHeight) {
        const count = Math.min(tileHeight, endRow - y);
        for (let x = firstByte; x < endByte; x += tileWidth) {
          const length = Math.min(tileWidth, endByte - x);
          const left = (columns.begin - strip.left) * PIXEL_BYTES + x;
          const source = rgb.subarray((rows.begin - strip.top + y) * pitch + left);
          copyRows(source, pitch, bytes.subarray(at.tile), tileWidth, count, length);
          if (isTransposed) {
            const target = at.between + x;
            shorten(at.tile, tileWidth, length, target, betweenPitch, at.down, side);
          } else {
            const target = at.between + y * betweenPitch;
            narrow(at.tile, tileWidth, count, target, betweenPitch, at.across, side);
          }
        }
      }
    },
    finish: () => {
      if (isTransposed) {
        narrow(at.between, betweenPitch, side, at.crop, cropPitch, at.across, side);
      } else {
        shorten(at.between, betweenPitch, cropPitch, at.crop, cropPitch, at.down, side);
      }
      const crop = bytes.subarray(at.crop, at.crop + side * cropPitch);
      // What ran along the stored columns is an upright row.
      return isTransposed
        ? turnUpright({ rgb: crop, width: side, height: side, orientation: 5 }).rgb
        : crop;
    },
  };
}

/** Copies the first `length` bytes of `count` rows. */
function copyRows(
  source: Uint8Array,
  sourcePitch: number,
  target: Uint8Array,
  targetPitch: number,
  count: number,
  length: number,
): void {
  for (let row = 0; row < count; row++) {
    const start = row * sourcePitch;
    target.set(source.subarray(start, start + length), row * targetPitch);
  }
}

/** Finds room for some arrays, whose sizes are in bytes, and returns their addresses. */
function layOut<Name extends string>(
  memory: WebAssembly.Memory,
  sizes: Readonly<Record<Name, number>>,
): Readonly<Record<Name, number>> {
  const addresses: Record<Name, number> = { ...sizes };
  let end = 0;
  for (const name in sizes) {
    addresses[name] = end;
    end += Math.ceil(sizes[name] / SLACK_BYTES + 1) * SLACK_BYTES;
  }
  const missing = end - memory.buffer.byteLength;
  if (missing > 0) memory.grow(Math.ceil(missing / PAGE_BYTES));
  return addresses;
}

function bytesOf(numbers: Int32Array): Uint8Array {
  return new Uint8Array(numbers.buffer, numbers.byteOffset, numbers.byteLength);
}
