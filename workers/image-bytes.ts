import { open } from "node:fs/promises";
import type { ImageBytes } from "../src/backends/protocol.ts";

/** Bytes of a file that are hashed at a time. */
const digestPieceBytes = 256 * 1024;

/** The first bytes, fewer where the image has fewer. */
export async function readHead(image: ImageBytes, bytes: number): Promise<Uint8Array> {
  if (image.kind === "memory") return image.bytes.subarray(0, bytes);
  return await Bun.file(image.path).slice(0, bytes).bytes();
}

/** All bytes; those of a `memory` image are not copied. */
export async function readAll(image: ImageBytes): Promise<Uint8Array> {
  return image.kind === "memory" ? image.bytes : await Bun.file(image.path).bytes();
}

/** Frees the buffer under a view: what was moved to a buffer of no bytes is nowhere. */
export function giveBack({ buffer }: Uint8Array): void {
  if (buffer instanceof ArrayBuffer) buffer.transfer(0);
}

/** SHA-256 in lower-case hex, computed unless it is known; a file goes piece by piece through the same memory. */
export async function digest(image: ImageBytes): Promise<string> {
  if (image.sha256 !== undefined) return image.sha256;
  const hasher = new Bun.CryptoHasher("sha256");
  if (image.kind === "memory") return hasher.update(image.bytes).digest("hex");
  const file = await open(image.path);
  try {
    const piece = new Uint8Array(digestPieceBytes);
    for (;;) {
      const { bytesRead } = await file.read(piece);
      if (bytesRead === 0) return hasher.digest("hex");
      hasher.update(piece.subarray(0, bytesRead));
    }
  } finally {
    await file.close();
  }
}
