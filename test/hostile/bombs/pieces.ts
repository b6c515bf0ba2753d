/** What bombs are built with. */
import sharp, { type Sharp } from "sharp";
import { type Bytes, concat } from "../../support/pictures.ts";
import type { Piece } from "../layouts/layout.ts";

/** How often a piece comes again. */
export const manyTimes = 3_000;

/** Makes a picture of one colour. */
export async function encodeBlank(
  width: number,
  height: number,
  to: (picture: Sharp) => Sharp,
): Promise<Bytes> {
  const blank = sharp({ create: { width, height, channels: 3, background: "#808080" } });
  return new Uint8Array(await to(blank).toBuffer());
}

/** Puts a piece into a file. */
export function inserted(bytes: Uint8Array, at: number, piece: Uint8Array): Bytes {
  return concat(bytes.subarray(0, at), piece, bytes.subarray(at));
}

/** Puts a piece into a file, again and again. */
export function repeated(
  bytes: Uint8Array,
  at: number,
  piece: Uint8Array,
  times = manyTimes,
): Bytes {
  return inserted(bytes, at, concat(...new Array<Uint8Array>(times).fill(piece)));
}

/**
 * Lets a piece of a file come again and again.
 *
 * @throws Error where the piece was not found.
 */
export function repeatedPiece(bytes: Uint8Array, piece: Piece | undefined, times: number): Bytes {
  if (piece === undefined) throw new Error("there is no such piece");
  return repeated(bytes, piece.end, bytes.subarray(piece.start, piece.end), times);
}
