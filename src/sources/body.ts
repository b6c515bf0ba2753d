import { Problem } from "../errors.ts";

/** Room for a body of unknown length; doubled as needed. */
const firstBytes = 64 * 1024;

/**
 * Reads a whole body into memory. The bytes are counted as they come (after decompression); the
 * Content-Length only refuses early and makes room, so that nothing is copied twice where it is right.
 *
 * @param onChunk called as each piece comes.
 * @returns a buffer of its own, exactly as long as the body.
 * @throws Problem `body-too-large` over `maxBytes`; whatever the transfer throws.
 */
export async function readBody(
  response: Response,
  maxBytes: number,
  onChunk: () => void = () => {},
): Promise<Uint8Array<ArrayBuffer>> {
  const declared = Number(response.headers.get("content-length") ?? Number.NaN);
  if (declared > maxBytes) throw tooLarge(maxBytes);
  let room = new Uint8Array(Math.min(declared || firstBytes, maxBytes));
  let length = 0;
  for await (const chunk of response.body ?? []) {
    onChunk();
    const needed = length + chunk.byteLength;
    if (needed > maxBytes) throw tooLarge(maxBytes);
    if (needed > room.byteLength) {
      const grown = new Uint8Array(Math.min(Math.max(needed, 2 * room.byteLength), maxBytes));
      grown.set(room.subarray(0, length));
      room = grown;
    }
    room.set(chunk, length);
    length = needed;
  }
  return length === room.byteLength ? room : room.slice(0, length);
}

function tooLarge(maxBytes: number): Problem {
  const detail = `The image behind the URL is larger than the limit of ${maxBytes} bytes: use a smaller one.`;
  return new Problem("body-too-large", detail);
}
