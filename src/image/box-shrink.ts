import type { Strip } from "./strips.ts";

/** Makes an image smaller while it comes in strips. */
export interface BoxShrink {
  /** @param rgb uint8, [strip.height, strip.width, 3]; left untouched, and not needed afterwards. */
  add(strip: Strip, rgb: Uint8Array): void;
  /** @returns `rgb` is uint8, [height, width, 3]. */
  finish(): { readonly rgb: Uint8Array; readonly width: number; readonly height: number };
}

/**
 * Starts to shrink an image: each square of `factor` pixels becomes their mean, rounded to the nearest.
 * What is left at the right and at the bottom, less than a square, is dropped.
 *
 * @param factor at least 1, and no more than the image has rows and columns.
 */
export function startBoxShrink(size: Pick<Strip, "width" | "height">, factor: number): BoxShrink {
  const width = Math.floor(size.width / factor);
  const height = Math.floor(size.height / factor);
  const sums = new Uint32Array(width * height * 3);
  return {
    add: ({ left, top, ...strip }, rgb) => {
      const columns = Math.min(strip.width, width * factor - left);
      const rows = Math.min(strip.height, height * factor - top);
      for (let y = 0; y < rows; y++) {
        const row = Math.floor((top + y) / factor) * width;
        let at = y * strip.width * 3;
        for (let x = 0; x < columns; x++) {
          const target = (row + Math.floor((left + x) / factor)) * 3;
          for (let channel = 0; channel < 3; channel++) {
            sums[target + channel] = (sums[target + channel] ?? 0) + (rgb[at++] ?? 0);
          }
        }
      }
    },
    finish: () => {
      const pixels = factor * factor;
      return { rgb: Uint8Array.from(sums, (sum) => Math.round(sum / pixels)), width, height };
    },
  };
}
