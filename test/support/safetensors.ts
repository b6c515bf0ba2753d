import type { RandomAccess } from "../../src/models/safetensors.ts";

/** Gives access to bytes in memory. */
export function accessBytes(bytes: Uint8Array): RandomAccess {
  return {
    totalBytes: bytes.byteLength,
    read(offset, length) {
      if (offset < 0 || length < 0 || offset + length > bytes.byteLength) {
        throw new RangeError(`read of ${length} bytes at ${offset} of ${bytes.byteLength}`);
      }
      return new Uint8Array(bytes.subarray(offset, offset + length));
    },
  };
}

/** A safetensors file with this header, whatever it claims, and these many bytes of data, all 0. */
export function safetensorsFile(header: unknown, dataBytes: number): Uint8Array<ArrayBuffer> {
  return safetensorsText(JSON.stringify(header), dataBytes);
}

/** The same with a header that need not be JSON. */
export function safetensorsText(header: string, dataBytes: number): Uint8Array<ArrayBuffer> {
  const text = new TextEncoder().encode(header);
  const file = new Uint8Array(8 + text.length + dataBytes);
  new DataView(file.buffer).setBigUint64(0, BigInt(text.length), true);
  file.set(text, 8);
  return file;
}
