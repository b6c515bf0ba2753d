import { ascii, type Bytes, concat, makeAnimatedWebp } from "../../support/pictures.ts";
import type { HostileFile } from "../corpus.ts";
import { describeWebp, riffChunk } from "../layouts/webp.ts";
import { encodeBlank, manyTimes, repeated, repeatedPiece } from "./pieces.ts";

const small = { width: 16, height: 12 };

/** WebPs with large canvases and many chunks. */
export async function webpBombs(): Promise<HostileFile[]> {
  const largest = await encodeBlank(16_383, 6_000, (picture) => picture.webp({ effort: 0 }));
  const animated = await makeAnimatedWebp(small);
  const frame = describeWebp(animated).pieces.findLast(
    ({ start }) => animated[start] === 0x41 && animated[start + 3] === 0x46,
  );
  const canvas = (side: number) => {
    const size = Uint8Array.of(side & 255, (side >> 8) & 255, side >> 16);
    return riffChunk("VP8X", concat(Uint8Array.of(2, 0, 0, 0), size, size));
  };
  const sides = (width: number, height: number) =>
    Uint8Array.of(...[width, height].flatMap((one) => [one & 255, (one >> 8) & 255, one >> 16]));
  const withSides = (width: number, height: number) => {
    const body = concat(Uint8Array.of(2, 0, 0, 0), sides(width - 1, height - 1));
    return riff(concat(riffChunk("VP8X", body), animated.subarray(12 + canvas(0).length)));
  };
  const withCanvas = (side: number) =>
    riff(concat(canvas(side), animated.subarray(12 + canvas(0).length)));
  return [
    { name: "a WebP of 16383×6000 blank pixels", bytes: largest },
    {
      name: "a WebP whose header claims 16383×16383",
      bytes: riff(
        riffChunk("VP8L", Uint8Array.of(0x2f, 0xff, 0xff, 0xff, 0x0f, ...new Uint8Array(60))),
      ),
    },
    { name: "a WebP with a canvas of 9999×9999", bytes: withCanvas(9_998) },
    { name: "a WebP with a canvas of 2²⁴×2²⁴", bytes: withCanvas(2 ** 24 - 1) },
    { name: "a WebP with a canvas of 10 million by 5", bytes: withSides(10_000_000, 5) },
    { name: "a WebP with a canvas of 5 by 10 million", bytes: withSides(5, 10_000_000) },
    { name: "a WebP with a canvas of 65535×800", bytes: withSides(65_535, 800) },
    {
      name: "a WebP with thousands of frames",
      bytes: riff(repeatedPiece(animated, frame, manyTimes).subarray(12)),
    },
    {
      name: "a WebP with thousands of unknown chunks",
      bytes: riff(
        repeated(animated.subarray(12), canvas(0).length, riffChunk("XMP ", new Uint8Array(4))),
      ),
    },
  ];
}

/** A RIFF file of WebP's kind. */
function riff(body: Uint8Array): Bytes {
  return new Uint8Array(riffChunk("RIFF", concat(ascii("WEBP"), body)));
}
