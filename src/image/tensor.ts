/** What is taken from a channel scaled to [0, 1], and what it is divided by; red, green, blue. */
export interface Normalization {
  readonly mean: readonly number[];
  /** Standard deviation. */
  readonly std: readonly number[];
}

/** The normalised value of every sample, float32, [3, 256]: channel `c`'s value `v` is at `c * 256 + v`. */
export type NormalizedLevels = Float32Array;

/** Computes every value that a sample can become. */
export function normalizedLevels({ mean, std }: Normalization): NormalizedLevels {
  return Float32Array.from({ length: 3 * 256 }, (_, index) => {
    const channel = index >> 8;
    const scaled = Math.fround((index & 255) * (1 / 255));
    const centred = Math.fround(scaled - Math.fround(mean[channel] ?? 0));
    return centred / Math.fround(std[channel] ?? 1);
  });
}

/**
 * Turns pixels into the model's input: scaled to [0, 1] in float64, then in float32 less the mean and
 * over the standard deviation, every channel a plane of its own.
 *
 * @param rgb uint8, [side, side, 3], interleaved.
 * @param levels what each sample becomes.
 * @param out float32, [batch, 3, side, side]; three planes of it are written.
 * @param offset where in `out` the image's first plane starts.
 * @throws RangeError when `out` has no room for the image at `offset`.
 * @see transformers 4.x `image_processing_clip.py` (`rescale`, `normalize`).
 */
export function rgbToPixelValues(
  rgb: Uint8Array,
  levels: NormalizedLevels,
  out: Float32Array,
  offset: number,
): void {
  const planeSize = rgb.length / 3;
  if (offset < 0 || offset + rgb.length > out.length) {
    throw new RangeError(`no room for ${rgb.length} values at ${offset} of ${out.length}`);
  }
  const levelsOf = (channel: number) => levels.subarray(channel * 256, (channel + 1) * 256);
  const planeOf = (channel: number) => out.subarray(offset + channel * planeSize);
  const [ofRed, ofGreen, ofBlue] = [levelsOf(0), levelsOf(1), levelsOf(2)];
  const [red, green, blue] = [planeOf(0), planeOf(1), planeOf(2)];
  // One pass for all three takes half the time of three.
  for (let i = 0; i < planeSize; i++) {
    red[i] = ofRed[rgb[i * 3] ?? 0] ?? 0;
    green[i] = ofGreen[rgb[i * 3 + 1] ?? 0] ?? 0;
    blue[i] = ofBlue[rgb[i * 3 + 2] ?? 0] ?? 0;
  }
}
