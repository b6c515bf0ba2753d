import { crc32 } from "node:zlib";
import type { Bytes } from "../../support/pictures.ts";
import type { Layout, NumberField, Piece } from "./layout.ts";

const signatureLength = 8;
/** A chunk's length, type and checksum. */
const frameLength = 12;
/** Lengths of the numbers in a chunk's body (W3C PNG, third edition, section 11). */
const bodies: Readonly<Record<string, readonly number[]>> = {
  IHDR: [4, 4, 1, 1, 1, 1, 1],
  acTL: [4, 4],
  fcTL: [4, 4, 4, 4, 4, 2, 2, 1, 1],
  gAMA: [4],
  pHYs: [4, 4, 1],
};

/** Finds a PNG's chunks, their lengths, and the numbers of its headers. */
export function describePng(bytes: Uint8Array): Layout {
  const fields: NumberField[] = [];
  const pieces = chunksOf(bytes);
  for (const { start } of pieces) {
    fields.push({ at: start, size: 4, order: "big" });
    const type = String.fromCharCode(...bytes.subarray(start + 4, start + 8));
    let at = start + 8;
    for (const size of bodies[type] ?? []) {
      fields.push({ at, size, order: "big" });
      at += size;
    }
  }
  return { fields, pieces };
}

/** Gives every chunk the checksum of what it now holds, as far as its length leads. */
export function mendPng(bytes: Bytes): void {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  for (const { start, end } of chunksOf(bytes)) {
    view.setUint32(end - 4, crc32(bytes.subarray(start + 4, end - 4)));
  }
}

/** The chunks that lie in the file whole. */
function chunksOf(bytes: Uint8Array): Piece[] {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const chunks: Piece[] = [];
  for (let start = signatureLength; start + frameLength <= bytes.length; ) {
    const end = start + frameLength + view.getUint32(start);
    if (end > bytes.length) break;
    chunks.push({ start, end });
    start = end;
  }
  return chunks;
}
