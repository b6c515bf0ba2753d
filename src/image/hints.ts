/** Hints that a picture may not be worth a vector: rules of thumb, which know nothing of what it shows. */

/** What an app may ask its user about. */
export type ImageHint = "too-small" | "nearly-black" | "blurred";

/** Pixels of the shorter side below which at least three of four pixels that CLIP sees are made up. */
const smallSide = 112;
/** Of 255: what counts as dark. */
const darkLuma = 24;
/** Part of the pixels that are dark in a picture that is nearly black. */
const darkPart = 0.98;
/** Variance of the Laplacian of luma below which nothing in the view has a sharp edge. */
const sharpVariance = 40;
/** Standard deviation of luma below which there is nothing to be sharp: a wall, fog, a plain colour. */
const plainDeviation = 10;

/**
 * Reads hints from what a model sees of a picture.
 *
 * Blur is told by the variance of the Laplacian (Pech-Pacheco et al. 2000, "Diatom autofocusing in brightfield
 * microscopy"), after the picture was scaled down: so it is blur that is left at that size. Soft pictures of
 * fog, sky or skin may be called blurred, and noise hides blur.
 *
 * @param view the centre of the upright picture, scaled to a square: uint8, [side, side, 3].
 * @param shortSide pixels of the picture's own shorter side.
 */
export function hintsOf(view: Uint8Array, shortSide: number): readonly ImageHint[] {
  const luma = lumaOf(view);
  const isDark = luma.filter((value) => value < darkLuma).length >= darkPart * luma.length;
  const hints: ImageHint[] = [];
  if (shortSide < smallSide) hints.push("too-small");
  if (isDark) hints.push("nearly-black");
  // What is dark has no edges, and what was made larger has none either.
  else if (hints.length === 0 && isBlurred(luma)) hints.push("blurred");
  return hints;
}

/** ITU-R BT.601, in whole numbers as Pillow has it: 0 to 255. */
function lumaOf(rgb: Uint8Array): Float32Array {
  const luma = new Float32Array(rgb.length / 3);
  for (let index = 0; index < luma.length; index++) {
    const [red = 0, green = 0, blue = 0] = [rgb[index * 3], rgb[index * 3 + 1], rgb[index * 3 + 2]];
    luma[index] = 0.299 * red + 0.587 * green + 0.114 * blue;
  }
  return luma;
}

function isBlurred(luma: Float32Array): boolean {
  if (varianceOf(luma) < plainDeviation ** 2) return false;
  const side = Math.sqrt(luma.length);
  const laplacian = new Float32Array((side - 2) ** 2);
  const at = (index: number) => luma[index] ?? 0;
  for (let y = 1, target = 0; y < side - 1; y++) {
    for (let x = 1; x < side - 1; x++, target++) {
      const here = y * side + x;
      const around = at(here - 1) + at(here + 1) + at(here - side) + at(here + side);
      laplacian[target] = around - 4 * at(here);
    }
  }
  return varianceOf(laplacian) < sharpVariance;
}

function varianceOf(values: Float32Array): number {
  let sum = 0;
  let squares = 0;
  for (const value of values) {
    sum += value;
    squares += value * value;
  }
  const mean = sum / values.length;
  return squares / values.length - mean * mean;
}
