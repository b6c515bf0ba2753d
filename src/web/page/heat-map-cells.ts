/** Where each number of a vector is in its heat map, and in which colour. */

/** Cells of a heat map. */
export interface Grid {
  readonly columns: number;
  readonly rows: number;
}

/** The least wide grid without an empty cell that is at least as wide as high: 16 rows of 32 for 512, 32 of 48 for 1536. */
export function gridOf(length: number): Grid {
  let columns = Math.max(1, Math.ceil(Math.sqrt(length)));
  while (length % columns !== 0) columns += 1;
  return { columns, rows: Math.max(1, length / columns) };
}

/** The value that has the full colour: the 98th percentile of the sizes, since single numbers of CLIP are far beyond. */
export function reachOf(vector: readonly number[]): number {
  const sizes = vector.map(Math.abs).sort((a, b) => a - b);
  return sizes[Math.floor((sizes.length - 1) * 0.98)] || 1;
}

type Colour = readonly [red: number, green: number, blue: number];

/** Blue and orange differ for nearly everyone who does not see all colours. */
const ends = {
  light: { negative: [37, 92, 190], zero: [246, 245, 242], positive: [208, 82, 22] },
  dark: { negative: [94, 151, 246], zero: [27, 29, 34], positive: [240, 128, 62] },
} as const satisfies Record<string, Record<string, Colour>>;

/** @param value 0 is the page's own colour, -1 and 1 and all beyond are the full ones. */
export function colourOf(value: number, isDark: boolean): Colour {
  const { negative, zero, positive } = ends[isDark ? "dark" : "light"];
  const end = value < 0 ? negative : positive;
  const share = Math.min(1, Math.abs(value));
  const mix = (index: 0 | 1 | 2) => Math.round(zero[index] + (end[index] - zero[index]) * share);
  return [mix(0), mix(1), mix(2)];
}

/** Where a key leads from a cell; undefined for keys that lead nowhere. */
export function moveIn(
  { columns }: Grid,
  length: number,
  index: number,
  key: string,
): number | undefined {
  const steps: Readonly<Record<string, number>> = {
    ArrowLeft: index - 1,
    ArrowRight: index + 1,
    ArrowUp: index - columns,
    ArrowDown: index + columns,
    PageUp: index - columns * 4,
    PageDown: index + columns * 4,
    Home: 0,
    End: length - 1,
  };
  const next = steps[key];
  return next === undefined ? undefined : Math.min(length - 1, Math.max(0, next));
}
