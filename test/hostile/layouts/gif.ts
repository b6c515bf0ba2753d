import type { Layout, NumberField, Piece } from "./layout.ts";

const screenEnd = 13;

/** Finds a GIF's blocks, their sizes, and the numbers of screen and frames (GIF89a, sections 18 to 26). */
export function describeGif(bytes: Uint8Array): Layout {
  const fields: NumberField[] = [...numbers(6, 2, 2), ...numbers(10, 1, 3)];
  const pieces: Piece[] = [];
  let at = screenEnd + colourTableLength(bytes[10] ?? 0);
  while (at < bytes.length && bytes[at] !== 0x3b) {
    const start = at;
    if (bytes[at] === 0x2c) {
      fields.push(...numbers(at + 1, 2, 4), ...numbers(at + 9, 1, 1));
      at += 10 + colourTableLength(bytes[at + 9] ?? 0);
      // The code size of the compressed data.
      fields.push(...numbers(at, 1, 1));
      at += 1;
    } else {
      at += 2;
    }
    for (;;) {
      const length = bytes[at] ?? 0;
      fields.push(...numbers(at, 1, 1));
      at += 1 + length;
      if (length === 0) break;
    }
    pieces.push({ start, end: at });
  }
  return { fields, pieces };
}

function colourTableLength(packed: number): number {
  return (packed & 0x80) === 0 ? 0 : 3 * 2 ** ((packed & 7) + 1);
}

function numbers(at: number, size: number, count: number): NumberField[] {
  return Array.from({ length: count }, (_, index) => ({
    at: at + index * size,
    size,
    order: "little",
  }));
}
