import { resizeAndCrop } from "../src/image/resample.ts";
import { rgbToPixelValues } from "../src/image/tensor.ts";
import type { Pixels } from "./decode.ts";

/**
 * Writes an image as CLIP's input: short side to `side`, centre cropped, normalised.
 *
 * @param side pixels of the model's square input.
 * @param out float32, [batch, 3, side, side]; one image's planes are written.
 * @param offset where in `out` they start.
 * @throws RangeError when `out` has no room for the image at `offset`.
 */
export function preprocess(image: Pixels, side: number, out: Float32Array, offset: number): void {
  rgbToPixelValues(resizeAndCrop(image.rgb, image.width, image.height, side), out, offset);
}
