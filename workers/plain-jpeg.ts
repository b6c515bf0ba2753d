/** Plain JPEGs, which most photos are: decoded in the worker's own thread, and a few rows at a time. */
import sharp from "sharp";
import type { ImageBytes } from "../src/backends/protocol.ts";
import type { Strip } from "../src/image/strips.ts";
import { openJpegReader } from "../src/native/jpeg-reader.ts";
import type { ImageHeader } from "./plan-strips.ts";

/** Takes the next rows with their pixels: uint8, [strip.height, strip.width, 3]. */
export type TakeStrip = (strip: Strip, rgb: Uint8Array) => void;

/** A JPEG of three channels of 8 bits and one scan, whose header is read. */
export interface PlainJpeg {
  readonly header: ImageHeader;
  /**
   * Decodes all rows, from the top down.
   *
   * @param take what it throws ends the reading, and is thrown.
   * @param into where all of them are to stay: uint8, [height, width, 3]. Unless it is given, what `take` gets changes
   *   afterwards.
   * @returns what is wrong with the image, for the log; undefined when all is read.
   */
  readRows(take: TakeStrip, into?: Uint8Array): string | undefined;
}

/** Of the library that sharp has loaded. */
export const vipsSoname = `libvips-cpp.so.${sharp.versions.vips}`;

/** Undefined where this host's libvips cannot be called. */
export const jpegReader = openJpegReader(vipsSoname);

/** Of rows on their way: a row of the longest side that is accepted, and a photo's first dozens. */
const band = new Uint8Array(1024 * 1024);

/** @returns undefined where it is no plain JPEG, or cannot be read so: sharp then says what it is. */
export function openPlainJpeg(image: ImageBytes): PlainJpeg | undefined {
  const source = image.kind === "memory" ? image.bytes : image.path;
  const found = jpegReader?.readHeader(source);
  if (jpegReader === undefined || found === undefined) return undefined;
  const { width } = found;
  const plain = { space: "srgb", channels: 3, depth: "uchar", hasAlpha: false } as const;
  return {
    header: { ...found, ...plain, isProgressive: false },
    readRows: (take, into = band) =>
      jpegReader.readRows(source, found, into, (top, height, rgb) =>
        take({ left: 0, top, width, height }, rgb),
      ),
  };
}
