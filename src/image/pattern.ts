/** A picture that every host can compute for itself, so that its numbers can be checked without any file. */
import { crc32, deflateSync } from "node:zlib";

/**
 * Makes an RGB PNG whose sample at `x`, `y` of channel `c` is `((7x + 13y + 29c) ^ (xy >> 3)) & 255`.
 *
 * @param width pixels, at least 1.
 * @param height pixels, at least 1.
 * @see PNG (Third Edition), W3C 2025, §5 and §11.
 */
export function makePatternPng(width: number, height: number): Uint8Array<ArrayBuffer> {
  const rowBytes = 1 + 3 * width;
  const rows = new Uint8Array(height * rowBytes);
  for (let y = 0; y < height; y += 1) {
    // The first byte of a row is its filter: none.
    for (let i = 0; i < 3 * width; i += 1) {
      const x = Math.floor(i / 3);
      rows[y * rowBytes + 1 + i] = (x * 7 + y * 13 + (i % 3) * 29) ^ ((x * y) >> 3);
    }
  }
  const header = Buffer.alloc(13);
  header.writeUInt32BE(width, 0);
  header.writeUInt32BE(height, 4);
  // 8 bits a sample, RGB; the rest is the only value there is, or not interlaced.
  header.set([8, 2, 0, 0, 0], 8);
  const signature = Buffer.from([0x89, 0x50, 0x4e, 0x47, 0x0d, 0x0a, 0x1a, 0x0a]);
  // Stored, not compressed: every version of zlib then gives the same bytes, and at once.
  const data = deflateSync(rows, { level: 0 });
  const chunks = [chunk("IHDR", header), chunk("IDAT", data), chunk("IEND")];
  return new Uint8Array(Buffer.concat([signature, ...chunks]));
}

function chunk(type: string, data: Uint8Array = new Uint8Array()): Buffer {
  const body = Buffer.concat([Buffer.from(type, "latin1"), data]);
  const framed = Buffer.alloc(body.length + 8);
  framed.writeUInt32BE(data.length, 0);
  framed.set(body, 4);
  framed.writeUInt32BE(crc32(body), body.length + 4);
  return framed;
}
