import type { Layout, NumberField, Piece } from "./layout.ts";

/** Boxes of boxes, and the bytes before the first (ISO 14496-12, section 8; ISO 23008-12, section 9). */
const containers: Readonly<Record<string, number>> = {
  meta: 4,
  iprp: 0,
  ipco: 0,
  iref: 4,
  iinf: 6,
  dinf: 0,
  grpl: 0,
};
/** Bytes of a box's size and type. */
const headLength = 8;

/** Finds an AVIF's boxes and their sizes; of those that only hold numbers, every 16 and 32 bits. */
export function describeAvif(bytes: Uint8Array): Layout {
  const fields: NumberField[] = [];
  const pieces: Piece[] = [];
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const walk = (from: number, to: number): void => {
    for (let start = from; start + headLength <= to; ) {
      const size = view.getUint32(start);
      const end = size < headLength ? to : Math.min(to, start + size);
      const type = String.fromCharCode(...bytes.subarray(start + 4, start + 8));
      const body = start + headLength;
      fields.push({ at: start, size: 4, order: "big" });
      const skipped = containers[type];
      if (skipped !== undefined) walk(body + skipped, end);
      if (type !== "mdat")
        fields.push(...numbersIn(body, skipped === undefined ? end : body + skipped));
      pieces.push({ start, end });
      start = end;
    }
  };
  walk(0, bytes.length);
  return { fields, pieces };
}

function numbersIn(start: number, end: number): NumberField[] {
  const fields: NumberField[] = [];
  for (let at = start; at + 2 <= end; at += 2) {
    fields.push({ at, size: 2, order: "big" });
    if (at + 4 <= end) fields.push({ at, size: 4, order: "big" });
  }
  return fields;
}
