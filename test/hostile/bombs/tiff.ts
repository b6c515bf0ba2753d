import { deflateSync } from "node:zlib";
import {
  type Bytes,
  concat,
  type TiffEntry,
  tiffDirectory,
  tiffHead,
} from "../../support/pictures.ts";
import type { HostileFile } from "../corpus.ts";

/** Long rows and high columns of 100 megapixels. */
const sides = [
  [1, 99_999_999],
  [99_999_999, 1],
  [65_535, 1_500],
  [1_500, 65_535],
] as const;

/** TIFFs that claim much, lie about where it is, or lead in circles. */
export function tiffBombs(): HostileFile[] {
  const cyclic = tiff(gray(8, 8, []));
  new DataView(cyclic.buffer).setUint32(8 + 2 + 9 * 12, 8, true);
  const deflated = deflateSync(new Uint8Array(100_000_000));
  const dataAt = 8 + 2 + 10 * 12 + 4;
  const inflating = (more: readonly TiffEntry[]): Bytes =>
    tiff(
      gray(10_000, 10_000, [
        [259, 3, 1, 8],
        [273, 4, 1, dataAt],
        [279, 4, 1, deflated.length],
        [284, 3, 1, 1],
        ...more,
      ]),
      deflated,
    );
  return [
    { name: "a TIFF that claims 2³²-1 squared", bytes: tiff(gray(2 ** 32 - 1, 2 ** 32 - 1, [])) },
    { name: "a TIFF that claims 30000×30000", bytes: tiff(gray(30_000, 30_000, [])) },
    { name: "a TIFF that claims 10000×9999 in one strip", bytes: tiff(gray(10_000, 9_999, [])) },
    {
      name: "a TIFF that claims 10000×9999 in strips of a row each",
      bytes: tiff(gray(10_000, 9_999, [[278, 4, 1, 1]])),
    },
    {
      name: "a TIFF whose strips are said to lie beyond its end",
      bytes: tiff(gray(8, 8, [[273, 4, 1, 2 ** 32 - 1]])),
    },
    {
      name: "a TIFF whose strips are said to be four billion",
      bytes: tiff(gray(8, 8, [[273, 4, 2 ** 32 - 1, 8]])),
    },
    { name: "a TIFF whose strip has no bytes", bytes: tiff(gray(8, 8, [[279, 4, 1, 0]])) },
    ...tileBombs(),
    { name: "a TIFF whose directory follows itself", bytes: cyclic },
    {
      name: "a TIFF whose directory has itself inside",
      bytes: tiff(gray(8, 8, [[330, 4, 1, 8]])),
    },
    {
      name: "a TIFF of 65535 samples a pixel",
      bytes: tiff(gray(8, 8, [[277, 3, 1, 65_535]])),
    },
    {
      name: "a TIFF of 100 megapixels of 1000 samples",
      bytes: inflating([[277, 3, 1, 1_000]]),
    },
    { name: "a TIFF of 100 megapixels, deflated", bytes: inflating([]) },
    {
      name: "a TIFF of 100 megapixels of 64 bits",
      bytes: inflating([
        [258, 3, 1, 64],
        [339, 3, 1, 3],
      ]),
    },
    {
      name: "a TIFF of 100 megapixels whose lookup has two billion colours",
      bytes: inflating([
        [262, 3, 1, 3],
        [320, 3, 2 ** 31, 8],
      ]),
    },
    ...sides.map(([width, height]) => ({
      name: `a TIFF of ${width}×${height}, deflated`,
      bytes: inflating([
        [256, 4, 1, width],
        [257, 4, 1, height],
        [278, 4, 1, height],
      ]),
    })),
    { name: "a TIFF of no rows", bytes: tiff(gray(8, 0, [])) },
    { name: "a TIFF of rows of no length", bytes: tiff(gray(0, 8, [])) },
    {
      name: "a TIFF of 20000 directories",
      bytes: chained(gray(8, 8, []), 20_000),
    },
  ];
}

/** TIFFs of tiles that are large, or many. */
function tileBombs(): HostileFile[] {
  return [
    {
      name: "a TIFF of one tile of 2³¹ by 2³¹",
      bytes: tiff(
        gray(8, 8, [
          [322, 4, 1, 2 ** 31],
          [323, 4, 1, 2 ** 31],
          [324, 4, 1, 200],
          [325, 4, 1, 64],
        ]),
      ),
    },
    {
      name: "a TIFF of one tile of 30000 by 30000",
      bytes: tiff(
        gray(8, 8, [
          [322, 4, 1, 30_000],
          [323, 4, 1, 30_000],
          [324, 4, 1, 200],
          [325, 4, 1, 64],
        ]),
      ),
    },
    {
      name: "a TIFF of tiles of 16 by 16 pixels, 9999 wide, without any",
      bytes: tiff(
        gray(9_999, 9_999, [
          [322, 4, 1, 16],
          [323, 4, 1, 16],
        ]),
      ),
    },
  ];
}

/** Directories of which each leads to the next. */
function chained(entries: readonly TiffEntry[], count: number): Bytes {
  const directory = tiffDirectory(entries);
  const bytes = concat(tiffHead, ...new Array<Uint8Array>(count).fill(directory));
  const view = new DataView(bytes.buffer);
  for (let index = 1; index < count; index++) {
    view.setUint32(8 + index * directory.length - 4, 8 + index * directory.length, true);
  }
  return bytes;
}

/** A directory of one strip of gray pixels, with some entries replaced or added, in the order of their tags. */
function gray(width: number, height: number, more: readonly TiffEntry[]): readonly TiffEntry[] {
  const plain: readonly TiffEntry[] = [
    [256, 4, 1, width],
    [257, 4, 1, height],
    [258, 3, 1, 8],
    [259, 3, 1, 1],
    [262, 3, 1, 1],
    [273, 4, 1, 200],
    [277, 3, 1, 1],
    [278, 4, 1, height],
    [279, 4, 1, width * height],
  ];
  const kept = plain.filter(([tag]) => !more.some(([other]) => other === tag));
  return [...kept, ...more].sort(([a], [b]) => a - b);
}

function tiff(entries: readonly TiffEntry[], rest: Uint8Array = new Uint8Array(400)): Bytes {
  return concat(tiffHead, tiffDirectory(entries), rest);
}
