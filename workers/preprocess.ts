import type { PixelInput } from "../src/backends/protocol.ts";
import { createStripResampler } from "../src/image/resample.ts";
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
 * @throws Problem when the image cannot be read; RangeError when `out` has no room for it at `offset`.
 */
export type Preprocess = (
  image: Omit<OpenedImage, "facts">,
  out: Float32Array,
  offset: number,
) => Promise<void>;

/** Makes a preprocessor, which keeps some MB for its next images. */
export function createPreprocess({ side, ...normalization }: PixelInput): Preprocess {
  const startResampling = createStripResampler(side);
  const levels = normalizedLevels(normalization);
  return async (image, out, offset) => {
    const resampling = startResampling(image);
    const isLarge = image.width * image.height >= trimPixels;
    for (const strip of image.strips) {
      const rgb = await image.readStrip(strip);
      resampling.add(strip, rgb);
      giveBack(rgb);
      if (isLarge) trimHeap();
    }
    rgbToPixelValues(resampling.finish(), levels, out, offset);
  };
}
