import { writeSync } from "node:fs";

/** Writes all of the bytes: write(2) may take fewer than it is given. */
export function writeWhole(descriptor: number, bytes: Uint8Array): void {
  for (let written = 0; written < bytes.length; ) {
    written += writeSync(descriptor, bytes, written);
  }
}
