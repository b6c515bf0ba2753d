/** Tells of every header and of all pixels that a worker reads: with sharp, or as a plain JPEG. */
import sharp from "sharp";
import { jpegReader } from "../../workers/plain-jpeg.ts";

/** To be called before a worker's code runs. @param tell is called each time. */
export function watchDecoding(tell: (what: "header" | "pixels") => void): void {
  const { metadata, toColourspace } = sharp.prototype;
  Object.assign(sharp.prototype, {
    metadata(this: unknown, ...given: unknown[]) {
      tell("header");
      return Reflect.apply(metadata, this, given);
    },
    // Called once where pixels are read, and nowhere else.
    toColourspace(this: unknown, ...given: unknown[]) {
      tell("pixels");
      return Reflect.apply(toColourspace, this, given);
    },
  });
  if (jpegReader === undefined) return;
  const { readHeader, readRows } = jpegReader;
  Object.assign(jpegReader, {
    readHeader(...given: Parameters<typeof readHeader>) {
      const header = readHeader(...given);
      // Whatever is no plain JPEG is opened with sharp.
      if (header !== undefined) tell("header");
      return header;
    },
    readRows(...given: Parameters<typeof readRows>) {
      tell("pixels");
      return readRows(...given);
    },
  });
}
