import { deflateSync } from "node:zlib";
import {
  ascii,
  type Bytes,
  bigEndian,
  concat,
  makeApng,
  makeBombPng,
  makePng,
  pngChunk,
  pngSignature,
} from "../../support/pictures.ts";
import type { HostileFile } from "../corpus.ts";
import { describePng } from "../layouts/png.ts";
import { inserted, manyTimes, repeated, repeatedPiece } from "./pieces.ts";

const small = { width: 16, height: 12 };

/** PNGs that inflate to much, in their pixels and beside them. */
export async function pngBombs(): Promise<HostileFile[]> {
  const png = await makePng(small);
  const apng = await makeApng(small);
  const [header, ...rest] = describePng(png).pieces;
  const afterHeader = header?.end ?? 0;
  const text = (body: Uint8Array) =>
    pngChunk("zTXt", concat(ascii("Comment\0\0"), deflateSync(body)));
  const profile = pngChunk("iCCP", concat(ascii("x\0\0"), deflateSync(new Uint8Array(64_000_000))));
  return [
    { name: "a PNG of one pixel too many", bytes: makeWholePng(10_000, 10_001, 1, 0) },
    { name: "a PNG of 100 megapixels in 13 kB", bytes: makeWholePng(10_000, 10_000, 1, 0) },
    {
      name: "a PNG whose header claims 2³¹-1 squared",
      bytes: makeBombPng({ width: 2 ** 31 - 1, height: 2 ** 31 - 1 }),
    },
    {
      name: "a PNG whose header claims 10000×9999",
      bytes: makeBombPng({ width: 10_000, height: 9_999 }),
    },
    {
      name: "a PNG of 100 million by 1, 16 bits and alpha",
      bytes: makeWholePng(100_000_000, 1, 16, 6),
    },
    { name: "a PNG of 1 by 100 million", bytes: makeWholePng(1, 100_000_000, 8, 0) },
    { name: "a PNG of a million by 100", bytes: makeWholePng(1_000_000, 100, 8, 2) },
    {
      name: "a PNG of 65535 by 1500, 16 bits and alpha",
      bytes: makeWholePng(65_535, 1_500, 16, 6),
    },
    { name: "a PNG of 1500 by 65535", bytes: makeWholePng(1_500, 65_535, 8, 2) },
    { name: "a PNG with 64 MB of profile", bytes: inserted(png, afterHeader, profile) },
    {
      name: "a PNG with a hundred texts that inflate to a megabyte each",
      bytes: repeated(png, afterHeader, text(new Uint8Array(1_000_000)), 100),
    },
    {
      name: "a PNG with thousands of empty data chunks",
      bytes: repeated(png, rest[0]?.start ?? 0, pngChunk("IDAT", new Uint8Array())),
    },
    {
      name: "a PNG with thousands of frames",
      bytes: repeatedPiece(apng, describePng(apng).pieces.at(-2), manyTimes),
    },
    {
      name: "a PNG whose data inflates to more than its pixels",
      bytes: concat(
        png.subarray(0, afterHeader),
        pngChunk("IDAT", deflateSync(new Uint8Array(200_000_000))),
        pngChunk("IEND", new Uint8Array()),
      ),
    },
  ];
}

/** A real PNG of one colour. */
function makeWholePng(width: number, height: number, bits: number, colourType: number): Bytes {
  const samples = { 2: 3, 4: 2, 6: 4 }[colourType] ?? 1;
  const row = 1 + Math.ceil((width * bits * samples) / 8);
  return concat(
    pngSignature,
    pngChunk("IHDR", concat(bigEndian(width, height), Uint8Array.of(bits, colourType, 0, 0, 0))),
    pngChunk("IDAT", deflateSync(new Uint8Array(row * height))),
    pngChunk("IEND", new Uint8Array()),
  );
}
