/** Which part of a picture a model sees that cuts a square out of its centre. */

/** In pixels of the upright picture. */
export interface Rectangle {
  readonly left: number;
  readonly top: number;
  readonly width: number;
  readonly height: number;
}

/**
 * What is left when a picture's shorter side is scaled to `side` and the centre is cut out, to the nearest pixel.
 * The arithmetic is that of `taps.ts`: since the longer side is scaled to whole pixels, too, what is square to the
 * model may not quite be so here.
 *
 * @param width of the upright picture, in pixels.
 * @param height of it.
 */
export function centreCrop(width: number, height: number, side: number): Rectangle {
  const short = Math.min(width, height);
  const across = spanOf(width, short, side);
  const down = spanOf(height, short, side);
  return { left: across.start, top: down.start, width: across.length, height: down.length };
}

function spanOf(size: number, short: number, side: number) {
  const scaled = Math.trunc((side * size) / short);
  const first = Math.floor((scaled - side) / 2);
  const start = Math.round((first * size) / scaled);
  return { start, length: Math.round(((first + side) * size) / scaled) - start };
}
