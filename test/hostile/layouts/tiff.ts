import type { Layout, NumberField, Piece } from "./layout.ts";

/** How a TIFF and a BigTIFF count (TIFF 6.0, section 2; the BigTIFF design of libtiff). */
const classic = { firstAt: 4, offset: 4, count: 2, entry: 12 };
const big = { firstAt: 8, offset: 8, count: 8, entry: 20 };

/** Finds a TIFF's directories: how many entries they have, each entry's tag, type, count and value, and what follows. */
export function describeTiff(bytes: Uint8Array): Layout {
  const order = bytes[0] === 0x49 ? "little" : "big";
  const isLittle = order === "little";
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const sizes = view.getUint16(2, isLittle) === 43 ? big : classic;
  const fields: NumberField[] = [{ at: sizes.firstAt, size: sizes.offset, order }];
  const pieces: Piece[] = [];
  // Sound files of ours are so short that the lower half of 64 bits says it all.
  const offsetAt = (at: number) => view.getUint32(at, isLittle);
  for (let start = offsetAt(sizes.firstAt); start !== 0; ) {
    const count = view.getUint16(start, isLittle);
    fields.push({ at: start, size: sizes.count, order });
    let at = start + sizes.count;
    for (let entry = 0; entry < count; entry++) {
      fields.push(
        { at, size: 2, order },
        { at: at + 2, size: 2, order },
        { at: at + 4, size: sizes.offset, order },
        { at: at + 4 + sizes.offset, size: sizes.offset, order },
        // Short values lie at the start of the field.
        { at: at + 4 + sizes.offset, size: 2, order },
      );
      pieces.push({ start: at, end: at + sizes.entry });
      at += sizes.entry;
    }
    fields.push({ at, size: sizes.offset, order });
    pieces.push({ start, end: at + sizes.offset });
    start = offsetAt(at);
  }
  return { fields, pieces };
}
