/**
 * The header of a `.npy` file, version 1.0, of float32 vectors: little-endian, in C order. The rows follow as they
 * are.
 *
 * @see NumPy's `numpy.lib.format`, "Format Version 1.0".
 */

/** Room for every shape: the vectors begin at the same place however many there are. */
export const npyHeaderBytes = 128;

/**
 * Makes the header, whose rest is blanks, so that it can be written again over itself.
 *
 * @param shape of the array: [rows, dimensions].
 * @returns uint8, [128]; its length is a multiple of 64, as NumPy wants it.
 */
export function npyHeader([rows, dimensions]: readonly [number, number]): Uint8Array<ArrayBuffer> {
  const description = `{'descr': '<f4', 'fortran_order': False, 'shape': (${rows}, ${dimensions}), }`;
  const header = new Uint8Array(npyHeaderBytes).fill(0x20);
  const text = new TextEncoder().encode(description);
  if (magic.length + 2 + text.length >= npyHeaderBytes) throw new RangeError("no such shape");
  header.set(magic);
  new DataView(header.buffer).setUint16(magic.length, npyHeaderBytes - magic.length - 2, true);
  header.set(text, magic.length + 2);
  header[npyHeaderBytes - 1] = 0x0a;
  return header;
}

/** `\x93NUMPY`, and the version. */
const magic = [0x93, 0x4e, 0x55, 0x4d, 0x50, 0x59, 1, 0] as const;
