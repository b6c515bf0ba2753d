import type { PixelInput } from "../src/backends/protocol.ts";
import { createStripResampler, type Resampling } from "../src/image/resample.ts";
import type { Strip } from "../src/image/strips.ts";
import { normalizedLevels, rgbToPixelValues } from "../src/image/tensor.ts";
import { trimHeap } from "../src/native/heap.ts";
import type { OpenedImage } from "./decode.ts";
import { giveBack } from "./image-bytes.ts";

/** Pixels from which what each decoding leaves behind is worth the time to give back. */
const trimPixels = 16_000_000;

/**
 * Reads an image and writes it as CLIP's input: upright, short side to `side`, centre cropped,
 * normalised. The memory of what was read is given back at once, since 100 megapixels should not wait
 * for a collection of garbage. One image at a time.
 *
 * @param out float32, [batch, 3, side, side]; one image's planes are written.
 * @param offset where in `out` they start.
 * @param also reads the same strips.
 * @returns what the model sees, before it was normalised: uint8, [side, side, 3]; the next image overwrites it.
 * @throws Problem when the image cannot be read; RangeError when `out` has no room for it at `offset`.
 */
export type Preprocess = (
  image: Omit<OpenedImage, "facts" | "header">,
  out: Float32Array,
  offset: number,
  also?: StripReader,
) => Promise<Uint8Array>;

/** Something else that reads an image while it is decoded. */
export interface StripReader {
  /**
   * Takes the next strip.
   *
   * @param rgb uint8, [strip.height, strip.width, 3].
   * @returns whether it keeps that buffer, which must then not be given back.
   */
  add(strip: Strip, rgb: Uint8Array): boolean;
}

/** Makes a preprocessor, which keeps some MB for its next images. */
export function createPreprocess({ side, ...normalization }: PixelInput): Preprocess {
  const startResampling = createStripResampler(side);
  const levels = normalizedLevels(normalization);
  return async (image, out, offset, also) => {
    const resampling = startResampling(image);
    if (image.readRows && also === undefined) image.readRows(resampling.add);
    else await readStrips(image, resampling, also);
    const crop = resampling.finish();
    rgbToPixelValues(crop, levels, out, offset);
    return crop;
  };
}

async function readStrips(
  { width, height, strips, readStrip }: Parameters<Preprocess>[0],
  resampling: Resampling,
  also?: StripReader,
): Promise<void> {
  for (const strip of strips) {
    const rgb = await readStrip(strip);
    resampling.add(strip, rgb);
    if (!also?.add(strip, rgb)) giveBack(rgb);
    if (width * height >= trimPixels) trimHeap();
  }
}
