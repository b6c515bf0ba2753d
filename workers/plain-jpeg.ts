/** Plain JPEGs, which most photos are: decoded in the worker's own thread, and a few rows at a time. */
import sharp from "sharp";
import type { ImageBytes } from "../src/backends/protocol.ts";
import type { Strip } from "../src/image/strips.ts";
import { type JpegHeader, openJpegReader } from "../src/native/jpeg-reader.ts";
import type { ImageHeader } from "./plan-strips.ts";

/** A JPEG of three channels of 8 bits and one scan, whose header is read. */
export interface PlainJpeg {
  readonly header: ImageHeader;
  /**
   * Decodes all rows, from the top down.
   *
   * @param take what it throws ends the reading, and is thrown; its `rgb` changes afterwards.
   * @returns what is wrong with the image, for the log; undefined when all is read.
   */
  readRows(take: (rows: Strip, rgb: Uint8Array) => void): string | undefined;
  /** The same into a buffer for all of them: uint8, [height, width, 3]. */
  readInto(rgb: Uint8Array, take: () => void): string | undefined;
}

/** Undefined where this host's libvips cannot be called. */
export const jpegReader = openJpegReader(`libvips-cpp.so.${sharp.versions.vips}`);

/** Of rows on their way: a row of the longest side that is accepted, and a photo's first dozens. */
const band = new Uint8Array(1024 * 1024);

/** @returns undefined where it is no plain JPEG, or cannot be read so: sharp then says what it is. */
export function openPlainJpeg(image: ImageBytes): PlainJpeg | undefined {
  const source = image.kind === "memory" ? image.bytes : image.path;
  const found = jpegReader?.readHeader(source);
  if (jpegReader === undefined || found === undefined) return undefined;
  const { width } = found;
  return {
    header: headerOf(found),
    readRows: (take) =>
      jpegReader.readRows(source, found, band, (top, height, rgb) =>
        take({ left: 0, top, width, height }, rgb),
      ),
    readInto: (rgb, take) => jpegReader.readRows(source, found, rgb, take),
  };
}

/** In sharp's words. */
function headerOf(found: JpegHeader): ImageHeader {
  return {
    ...found,
    space: "srgb",
    channels: 3,
    depth: "uchar",
    isProgressive: false,
    hasAlpha: false,
    pages: undefined,
  };
}
