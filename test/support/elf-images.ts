/** Programs and libraries inside a file of bytes. */

/** A 64-bit ELF image, by its header (elf(5)). */
interface ElfImage {
  /** Where it begins. */
  readonly offset: number;
  /** Processor: 62 is x86-64, 183 is AArch64. */
  readonly machine: number;
}

/** The four bytes that begin an image, then: 64 bits, little-endian, version 1. */
const MAGIC = Buffer.from([0x7f, 0x45, 0x4c, 0x46, 2, 1, 1]);

/**
 * Finds every ELF program and shared library, also those that lie inside another.
 *
 * @returns in the order of their offsets. Bytes that only happen to look like the magic are left out.
 */
export function findElfImages(bytes: Buffer): ElfImage[] {
  const images: ElfImage[] = [];
  for (let at = bytes.indexOf(MAGIC); at !== -1; at = bytes.indexOf(MAGIC, at + 1)) {
    if (at + 64 > bytes.length) break;
    const type = bytes.readUInt16LE(at + 16);
    const headerBytes = bytes.readUInt16LE(at + 52);
    // An executable is of type 2, a shared object or position-independent executable of type 3.
    if ((type === 2 || type === 3) && headerBytes === 64) {
      images.push({ offset: at, machine: bytes.readUInt16LE(at + 18) });
    }
  }
  return images;
}
