/**
 * CLIP's resize and centre crop, bit for bit as Hugging Face's PIL image processor does them.
 *
 * @see transformers 4.x `image_transforms.py` (`get_resize_output_image_size`, `center_crop`).
 * @see Pillow 9.4 `src/libImaging/Resample.c` (`precompute_coeffs`, `normalize_coeffs_8bpc`,
 *   `ImagingResampleHorizontal_8bpc`, `ImagingResampleVertical_8bpc`).
 */

/** Reach of the bicubic kernel, in source pixels when nothing is reduced. */
const KERNEL_SUPPORT = 2;
/** Fractional bits of a coefficient: 32 bits less 8 of a sample and 2 for overshoot and sign. */
const PRECISION_BITS = 22;
const HALF_UNIT = 1 << (PRECISION_BITS - 1);

/** The source samples that make some neighbouring output samples of one axis. */
interface Taps {
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
 * Scales the short side of an image to `side`, keeping its shape, and cuts the centre out. Computes
 * nothing outside of the crop, so the cost does not grow with how long the image is.
 *
 * @param rgb uint8, [height, width, 3]; left untouched.
 * @param width pixels, at least 1.
 * @param height pixels, at least 1.
 * @param side pixels of the result's width and height.
 * @returns uint8, [side, side, 3].
 */
export function resizeAndCrop(
  rgb: Uint8Array,
  width: number,
  height: number,
  side: number,
): Uint8Array<ArrayBuffer> {
  const short = Math.min(width, height);
  const columns = tapsOfCrop(width, Math.trunc((side * width) / short), side);
  const rows = tapsOfCrop(height, Math.trunc((side * height) / short), side);
  const narrowed = new Uint8Array((rows.end - rows.begin) * side * 3);
  resampleRows(
    rgb.subarray(rows.begin * width * 3, rows.end * width * 3),
    width,
    columns,
    narrowed,
  );
  const crop = new Uint8Array(side * side * 3);
  resampleColumns(narrowed, side * 3, rows, crop);
  return crop;
}

/** The taps of the middle `side` of `outSize` output samples, made from `inSize` source samples. */
function tapsOfCrop(inSize: number, outSize: number, side: number): Taps {
  const first = Math.floor((outSize - side) / 2);
  const scale = inSize / outSize;
  const reduction = Math.max(scale, 1);
  const support = KERNEL_SUPPORT * reduction;
  const stride = Math.ceil(support) * 2 + 1;
  const starts = new Int32Array(side);
  const counts = new Int32Array(side);
  const weights = new Int32Array(side * stride);
  for (let i = 0; i < side; i++) {
    const centre = (first + i + 0.5) * scale;
    const start = Math.max(0, Math.trunc(centre - support + 0.5));
    const end = Math.min(inSize, Math.trunc(centre + support + 0.5));
    starts[i] = start;
    counts[i] = end - start;
    const exact = Array.from({ length: end - start }, (_, tap) =>
      bicubic((tap + start - centre + 0.5) * (1 / reduction)),
    );
    const sum = exact.reduce((total, weight) => total + weight, 0);
    weights.set(
      exact.map((weight) => toFixedPoint(weight / sum)),
      i * stride,
    );
  }
  const begin = starts[0] ?? 0;
  const end = (starts[side - 1] ?? 0) + (counts[side - 1] ?? 0);
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

/** Back to a uint8 sample. The sum started at half a unit, so the shift rounds. */
function toSample(sum: number): number {
  return Math.min(Math.max(sum >> PRECISION_BITS, 0), 255);
}

/** Horizontal pass: uint8, [rows, width, 3] → [rows, outputs, 3]. */
function resampleRows(rgb: Uint8Array, width: number, taps: Taps, out: Uint8Array): void {
  const { starts, counts, weights, stride, begin } = taps;
  let target = 0;
  for (let row = begin * 3; row < rgb.length; row += width * 3) {
    for (let i = 0; i < starts.length; i++) {
      let red = HALF_UNIT;
      let green = HALF_UNIT;
      let blue = HALF_UNIT;
      let source = row + (starts[i] ?? 0) * 3;
      const weightsEnd = i * stride + (counts[i] ?? 0);
      for (let k = i * stride; k < weightsEnd; k++) {
        const weight = weights[k] ?? 0;
        red = (red + Math.imul(weight, rgb[source] ?? 0)) | 0;
        green = (green + Math.imul(weight, rgb[source + 1] ?? 0)) | 0;
        blue = (blue + Math.imul(weight, rgb[source + 2] ?? 0)) | 0;
        source += 3;
      }
      out[target] = toSample(red);
      out[target + 1] = toSample(green);
      out[target + 2] = toSample(blue);
      target += 3;
    }
  }
}

/** Vertical pass: uint8, [rows, rowBytes] → [outputs, rowBytes]. */
function resampleColumns(source: Uint8Array, rowBytes: number, taps: Taps, out: Uint8Array): void {
  const { starts, counts, weights, stride } = taps;
  const sums = new Int32Array(rowBytes);
  for (let i = 0; i < starts.length; i++) {
    sums.fill(HALF_UNIT);
    for (let tap = 0; tap < (counts[i] ?? 0); tap++) {
      const weight = weights[i * stride + tap] ?? 0;
      const row = ((starts[i] ?? 0) + tap) * rowBytes;
      for (let x = 0; x < rowBytes; x++) {
        sums[x] = (sums[x] ?? 0) + Math.imul(weight, source[row + x] ?? 0);
      }
    }
    for (let x = 0; x < rowBytes; x++) out[i * rowBytes + x] = toSample(sums[x] ?? 0);
  }
}
