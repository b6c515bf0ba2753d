import type { Layout, NumberField, Piece } from "./layout.ts";

/** Finds a JPEG's segments and every length, size, count and table number in them (ITU-T T.81, annex B). */
export function describeJpeg(bytes: Uint8Array): Layout {
  const fields: NumberField[] = [];
  const pieces: Piece[] = [];
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  for (let at = 2; at + 4 <= bytes.length && bytes[at] === 0xff; ) {
    const marker = bytes[at + 1] ?? 0;
    const bodyEnd = at + 2 + view.getUint16(at + 2);
    fields.push({ at: at + 2, size: 2, order: "big" }, ...bodyFields(marker, at + 4, bodyEnd));
    const end = marker === 0xda ? scanEnd(bytes, bodyEnd) : bodyEnd;
    pieces.push({ start: at, end });
    at = end;
  }
  return { fields, pieces };
}

function bodyFields(marker: number, start: number, end: number): NumberField[] {
  const isFrame = marker >= 0xc0 && marker <= 0xcf && ![0xc4, 0xc8, 0xcc].includes(marker);
  if (isFrame) {
    const sides = [start + 1, start + 3].map((at) => ({ at, size: 2, order: "big" }) as const);
    return [...sides, ...bytesOf(start, start + 1), ...bytesOf(start + 5, end)];
  }
  // A Huffman table's class and its sixteen counts.
  if (marker === 0xc4) return bytesOf(start, Math.min(start + 17, end));
  // A quantisation table's precision, the restart interval, a scan's components.
  if (marker === 0xdb) return bytesOf(start, start + 1);
  if (marker === 0xdd) return [{ at: start, size: 2, order: "big" }];
  return marker === 0xda ? bytesOf(start, end) : [];
}

function bytesOf(start: number, end: number): NumberField[] {
  const count = Math.max(0, end - start);
  return Array.from({ length: count }, (_, index) => ({
    at: start + index,
    size: 1,
    order: "big",
  }));
}

/** Where the coded data of a scan ends: at a marker that is neither a restart nor a stuffed 0xff. */
function scanEnd(bytes: Uint8Array, start: number): number {
  for (let at = start; at + 1 < bytes.length; at++) {
    const next = bytes[at + 1] ?? 0;
    if (bytes[at] === 0xff && next !== 0 && (next < 0xd0 || next > 0xd7)) return at;
  }
  return bytes.length;
}
