/** Where the numbers and the pieces of a file lie, so that it can be damaged where a decoder trusts it. */

/** A number that says how long, how large, how many or where something is. */
export interface NumberField {
  readonly at: number;
  /** Bytes; 1 to 8. */
  readonly size: number;
  readonly order: "big" | "little";
}

/** A part that a file may have once more, or not at all: a chunk, a segment, a box. */
export interface Piece {
  readonly start: number;
  /** One after its last byte. */
  readonly end: number;
}

/** What a format's describer finds in a file. */
export interface Layout {
  readonly fields: readonly NumberField[];
  readonly pieces: readonly Piece[];
}
