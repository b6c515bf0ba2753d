import { ascii, type Bytes, makeGif } from "../../support/pictures.ts";
import type { HostileFile } from "../corpus.ts";
import { describeGif } from "../layouts/gif.ts";
import { manyTimes, repeated, repeatedPiece } from "./pieces.ts";

const small = { width: 16, height: 12 };

/** Long rows and high columns. */
const sides = [
  [65_535, 1_525],
  [65_535, 1_000],
  [1_525, 65_535],
] as const;

/** GIFs with large screens and many frames. */
export async function gifBombs(): Promise<HostileFile[]> {
  const gif = await makeGif(small);
  const animated = await makeGif({ ...small, frames: 2 });
  const blocks = describeGif(animated).pieces;
  const screen = (bytes: Bytes, width: number, height: number) => {
    const view = new DataView(bytes.buffer);
    view.setUint16(6, width, true);
    view.setUint16(8, height, true);
    return bytes;
  };
  const frames = repeatedPiece(animated, blocks.at(-1), manyTimes);
  return [
    { name: "a GIF with a screen of 65535×65535", bytes: screen(gif.slice(), 65_535, 65_535) },
    {
      name: "a GIF with a screen of 65535×1525 and one small frame",
      bytes: screen(gif.slice(), 65_535, 1_525),
    },
    ...sides.map(([width, height]) => ({
      name: `a GIF with a frame of ${width}×${height}`,
      bytes: frame(gif, width, height),
    })),
    { name: "a GIF with thousands of frames", bytes: frames },
    {
      name: "a GIF with a screen of 10000×9999 and thousands of frames",
      bytes: screen(frames.slice(), 10_000, 9_999),
    },
    {
      name: "a GIF with thousands of extensions",
      bytes: repeated(gif, describeGif(gif).pieces[0]?.start ?? 13, ascii("!\xfe\x01x\0")),
    },
  ];
}

/** Lets the first frame, and the screen, claim a size. */
function frame(gif: Bytes, width: number, height: number): Bytes {
  const bytes = gif.slice();
  const view = new DataView(bytes.buffer);
  const start = describeGif(gif).pieces.find((piece) => gif[piece.start] === 0x2c)?.start;
  if (start === undefined) throw new Error("the GIF has no frame");
  for (const at of [6, start + 5]) {
    view.setUint16(at, width, true);
    view.setUint16(at + 2, height, true);
  }
  return bytes;
}
