import { ascii } from "../../support/pictures.ts";
import type { Layout, NumberField, Piece } from "./layout.ts";

const riffHeadLength = 12;
/** Lengths of the numbers at the start of a chunk's body (RFC 9649, section 2; RFC 6386, section 9.1). */
const bodies: Readonly<Record<string, readonly number[]>> = {
  VP8X: [1, 3, 3, 3],
  ANIM: [4, 2],
  ANMF: [3, 3, 3, 3, 3, 1],
  "VP8 ": [3, 3, 2, 2, 1],
  VP8L: [1, 4],
  ALPH: [1],
};
/** Bytes of an animation frame before the chunks that it holds. */
const frameHeadLength = 16;

/** Finds a WebP's chunks, those of its frames too, their lengths, and the numbers in them. */
export function describeWebp(bytes: Uint8Array): Layout {
  const fields: NumberField[] = [{ at: 4, size: 4, order: "little" }];
  const pieces: Piece[] = [];
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const walk = (from: number, to: number): void => {
    for (let start = from; start + 8 <= to; ) {
      const type = String.fromCharCode(...bytes.subarray(start, start + 4));
      const length = view.getUint32(start + 4, true);
      // A chunk of an odd length is followed by a byte of nothing.
      const end = Math.min(to, start + 8 + length + (length % 2));
      fields.push({ at: start + 4, size: 4, order: "little" });
      let at = start + 8;
      for (const size of bodies[type] ?? []) {
        fields.push({ at, size, order: "little" });
        at += size;
      }
      if (type === "ANMF") walk(start + 8 + frameHeadLength, end);
      pieces.push({ start, end });
      start = end;
    }
  };
  walk(riffHeadLength, bytes.length);
  return { fields, pieces };
}

/** A RIFF chunk, padded to an even length. */
export function riffChunk(type: string, body: Uint8Array): Uint8Array {
  const chunk = new Uint8Array(8 + body.length + (body.length % 2));
  chunk.set(ascii(type));
  new DataView(chunk.buffer).setUint32(4, body.length, true);
  chunk.set(body, 8);
  return chunk;
}
