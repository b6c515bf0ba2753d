/** Mean of each channel, R, G, B, of the pictures that CLIP was trained on, scaled to [0, 1]. */
const MEAN = [0.48145466, 0.4578275, 0.40821073] as const;
/** Standard deviation of each channel, likewise. */
const STANDARD_DEVIATION = [0.26862954, 0.26130258, 0.27577711] as const;

/** The normalised value of every sample, [3, 256]: channel `c`'s value `v` is at `c * 256 + v`. */
const normalized = Float32Array.from({ length: 3 * 256 }, (_, index) => {
  const channel = index >> 8;
  const scaled = Math.fround((index & 255) * (1 / 255));
  const centred = Math.fround(scaled - Math.fround(MEAN[channel] ?? 0));
  return centred / Math.fround(STANDARD_DEVIATION[channel] ?? 1);
});

/**
 * Turns pixels into the model's input: scaled to [0, 1] in float64, then in float32 less the mean and
 * over the standard deviation, every channel a plane of its own.
 *
 * @param rgb uint8, [side, side, 3], interleaved.
 * @param out float32, [batch, 3, side, side]; three planes of it are written.
 * @param offset where in `out` the image's first plane starts.
 * @throws RangeError when `out` has no room for the image at `offset`.
 * @see transformers 4.x `image_processing_clip.py` (`rescale`, `normalize`).
 */
export function rgbToPixelValues(rgb: Uint8Array, out: Float32Array, offset: number): void {
  const planeSize = rgb.length / 3;
  if (offset < 0 || offset + rgb.length > out.length) {
    throw new RangeError(`no room for ${rgb.length} values at ${offset} of ${out.length}`);
  }
  for (let channel = 0; channel < 3; channel++) {
    const plane = offset + channel * planeSize;
    for (let i = 0; i < planeSize; i++) {
      out[plane + i] = normalized[channel * 256 + (rgb[i * 3 + channel] ?? 0)] ?? 0;
    }
  }
}
