/** A float32 vector as base64 of its little-endian bytes; every platform that is served is little-endian. */
export function toBase64({ buffer, byteOffset, byteLength }: Float32Array): string {
  return new Uint8Array(buffer, byteOffset, byteLength).toBase64();
}
