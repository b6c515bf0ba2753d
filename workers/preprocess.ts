import type { PixelInput } from "../src/backends/protocol.ts";
import type { StoredPixels } from "../src/image/orientation.ts";
import { createResampler } from "../src/image/resample.ts";
import { normalizedLevels, rgbToPixelValues } from "../src/image/tensor.ts";

/**
 * Writes an image as CLIP's input: upright, short side to `side`, centre cropped, normalised. It takes
 * the pixels: their memory is given back at once, since 100 megapixels should not wait for a collection
 * of garbage, and `image.rgb` is empty afterwards.
 *
 * @param out float32, [batch, 3, side, side]; one image's planes are written.
 * @param offset where in `out` they start.
 * @throws RangeError when `out` has no room for the image at `offset`.
 */
export type Preprocess = (image: StoredPixels, out: Float32Array, offset: number) => void;

/** Makes a preprocessor, which keeps some MB for its next images. */
export function createPreprocess({ side, ...normalization }: PixelInput): Preprocess {
  const resample = createResampler(side);
  const levels = normalizedLevels(normalization);
  return (image, out, offset) => {
    const crop = resample(image);
    giveBack(image.rgb);
    rgbToPixelValues(crop, levels, out, offset);
  };
}

/** Frees the buffer under a view: what was moved to a buffer of no bytes is nowhere. */
function giveBack({ buffer }: Uint8Array): void {
  if (buffer instanceof ArrayBuffer) buffer.transfer(0);
}
