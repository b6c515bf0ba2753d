/**
 * The weights with which source samples make the samples of CLIP's resized and cropped picture, along
 * one axis: bit for bit those of Hugging Face's PIL image processor.
 *
 * @see transformers 4.x `image_transforms.py` (`get_resize_output_image_size`, `center_crop`).
 * @see Pillow 9.4 `src/libImaging/Resample.c` (`precompute_coeffs`, `normalize_coeffs_8bpc`).
 */

/** Reach of the bicubic kernel, in source pixels when nothing is reduced. */
const KERNEL_SUPPORT = 2;
/** Fractional bits of a weight: 32 bits less 8 of a sample and 2 for overshoot and sign. */
export const PRECISION_BITS = 22;

/** The source samples that make some neighbouring output samples of one axis. */
export interface Taps {
  /** Index of each output's first source sample, counted from `begin`. */
  readonly starts: Int32Array;
  /** Number of each output's source samples. */
  readonly counts: Int32Array;
  /** Fixed-point weights; those of output `i` start at `i * stride`. */
  readonly weights: Int32Array;
  readonly stride: number;
  /** First source sample, and the one after the last, that any output needs. */
  readonly begin: number;
  readonly end: number;
}

/**
 * The taps of one axis when the image's short side is scaled to `side` and the centre is cut out.
 *
 * @param inSize source samples along the axis, at least 1.
 * @param short source samples along the shorter axis.
 * @param side output samples.
 * @param isReversed the source samples are stored from the last to the first.
 */
export function tapsOfCrop(inSize: number, short: number, side: number, isReversed: boolean): Taps {
  const outSize = Math.trunc((side * inSize) / short);
  const first = Math.floor((outSize - side) / 2);
  const scale = inSize / outSize;
  const reduction = Math.max(scale, 1);
  const support = KERNEL_SUPPORT * reduction;
  const stride = Math.ceil(support) * 2 + 1;
  const starts = new Int32Array(side);
  const counts = new Int32Array(side);
  const weights = new Int32Array(side * stride);
  const exact = new Float64Array(stride);
  for (let i = 0; i < side; i++) {
    const centre = (first + i + 0.5) * scale;
    const start = Math.max(0, Math.trunc(centre - support + 0.5));
    const count = Math.min(inSize, Math.trunc(centre + support + 0.5)) - start;
    let sum = 0;
    for (let tap = 0; tap < count; tap++) {
      const weight = bicubic((tap + start - centre + 0.5) * (1 / reduction));
      exact[tap] = weight;
      sum += weight;
    }
    for (let tap = 0; tap < count; tap++) {
      const place = isReversed ? count - 1 - tap : tap;
      weights[i * stride + place] = toFixedPoint((exact[tap] ?? 0) / sum);
    }
    starts[i] = isReversed ? inSize - start - count : start;
    counts[i] = count;
  }
  const [low, high] = isReversed ? [side - 1, 0] : [0, side - 1];
  const begin = starts[low] ?? 0;
  const end = (starts[high] ?? 0) + (counts[high] ?? 0);
  return { starts: starts.map((start) => start - begin), counts, weights, stride, begin, end };
}

/** Keys' cubic convolution kernel with a = −0.5, multiplied out in the order that Pillow does it. */
function bicubic(offset: number): number {
  const a = -0.5;
  const x = Math.abs(offset);
  if (x < 1) return ((a + 2) * x - (a + 3)) * x * x + 1;
  if (x < 2) return (((x - 5) * x + 8) * x - 4) * a;
  return 0;
}

/** Rounds half away from zero. */
function toFixedPoint(weight: number): number {
  return Math.trunc(weight * (1 << PRECISION_BITS) + (weight < 0 ? -0.5 : 0.5));
}
