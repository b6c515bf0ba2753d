/** A rectangle of an image's stored pixels. */
export interface Strip {
  readonly left: number;
  readonly top: number;
  readonly width: number;
  readonly height: number;
}

/**
 * Cuts an image into about equal strips along one axis, in the order of their rows or columns.
 *
 * @param count strips, at least 1; there are fewer where the axis is shorter.
 * @param isUpright strips are whole columns, as wide as needed; else whole rows.
 */
export function cutStrips(
  { width, height }: Pick<Strip, "width" | "height">,
  count: number,
  isUpright: boolean,
): readonly Strip[] {
  const length = isUpright ? width : height;
  const strips = Math.min(count, length);
  const cut = (index: number) => Math.floor((length * index) / strips);
  return Array.from({ length: strips }, (_, index) => {
    const [from, to] = [cut(index), cut(index + 1)];
    return isUpright
      ? { left: from, top: 0, width: to - from, height }
      : { left: 0, top: from, width, height: to - from };
  });
}
