/** How an image's stored rows and columns become upright ones: EXIF's `Orientation`, 1 to 8. */
export type Orientation = 1 | 2 | 3 | 4 | 5 | 6 | 7 | 8;

/** An image's pixels as they are stored, and how to look at them. */
export interface StoredPixels {
  /** uint8, [height, width, 3], interleaved R, G, B. */
  readonly rgb: Uint8Array;
  readonly width: number;
  readonly height: number;
  readonly orientation: Orientation;
}

/** What is done to stored pixels: columns and rows may run backwards, and then change places. */
export interface Turn {
  /** The stored columns are taken from right to left. */
  readonly isMirrored: boolean;
  /** The stored rows are taken from the bottom up. */
  readonly isFlipped: boolean;
  /** A stored column then is an upright row. */
  readonly isTransposed: boolean;
}

/** @see EXIF 2.32, section 4.6.4, `Orientation`; Pillow 9.4 `ImageOps.exif_transpose`. */
export function turnOf(orientation: Orientation): Turn {
  return {
    isMirrored: [2, 3, 7, 8].includes(orientation),
    isFlipped: [3, 4, 6, 7].includes(orientation),
    isTransposed: orientation >= 5,
  };
}

/** Reads a header's number; what is missing or out of range turns nothing, as Pillow has it. */
export function parseOrientation(value: number | undefined): Orientation {
  const orientations: readonly Orientation[] = [1, 2, 3, 4, 5, 6, 7, 8];
  return orientations.find((orientation) => orientation === value) ?? 1;
}

/**
 * Copies pixels into their upright order, where they are not in it already.
 *
 * @param image left untouched.
 * @returns `orientation` is 1; `rgb` is the image's own where nothing was to be turned.
 */
export function turnUpright(image: StoredPixels): StoredPixels {
  if (image.orientation === 1) return image;
  const { rgb, width, height } = image;
  const { isMirrored, isFlipped, isTransposed } = turnOf(image.orientation);
  const upright = new Uint8Array(rgb.length);
  const columnStep = (isTransposed ? height : 1) * 3 * (isMirrored ? -1 : 1);
  const rowStep = (isTransposed ? 1 : width) * 3 * (isFlipped ? -1 : 1);
  const corner =
    (isMirrored ? (1 - width) * columnStep : 0) + (isFlipped ? (1 - height) * rowStep : 0);
  let source = 0;
  for (let y = 0; y < height; y++) {
    for (let x = 0; x < width; x++) {
      const target = corner + x * columnStep + y * rowStep;
      upright[target] = rgb[source++] ?? 0;
      upright[target + 1] = rgb[source++] ?? 0;
      upright[target + 2] = rgb[source++] ?? 0;
    }
  }
  return isTransposed
    ? { rgb: upright, width: height, height: width, orientation: 1 }
    : { rgb: upright, width, height, orientation: 1 };
}
