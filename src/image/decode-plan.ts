/** How large images are read without more memory than is wanted, or not read at all. */
import type { ImageFormat } from "./signature.ts";

/** What an image's header says of its pixels. */
export interface PixelHeader {
  readonly width: number;
  readonly height: number;
  /** Samples of a pixel as the decoder gives them. */
  readonly channels: number;
  readonly bytesPerSample: number;
  readonly isCmyk: boolean;
  /** Interlaced, progressive, or otherwise of several scans. */
  readonly isInterlaced: boolean;
  /** DCT coefficients of a pixel that a JPEG of several scans keeps between them. */
  readonly coefficientsPerPixel: number;
}

/** Bytes for each pixel of an image while it is decoded. */
interface PixelBytes {
  /** What the decoder takes before it gives the first row. */
  readonly start: number;
  /** What it holds while rows are read. */
  readonly held: number;
  /** What becomes of a pixel that is read. */
  readonly read: number;
}

export type DecodePlan =
  /** In how many strips the image is read, each by a decoding of its own. */
  | { readonly strips: number }
  /** The image takes too much memory: pixels that one of its kind may have. */
  | { readonly maxPixels: number };

/** Bytes that no decoding should exceed where it can be helped. */
const wantedBytes = 500_000_000;
/** Whole rows that libvips keeps between the decoder and what is read. */
const bufferedRows = 512;
/** Bytes of any decoding: rows in work, and what the allocator has not yet given back. */
const fixedBytes = 50_000_000;
/** Those of the rows among them: of 10,000 pixels in four samples. */
const fixedRowBytes = bufferedRows * 10_000 * 4;
/** Where MAX_PIXELS is higher than its default, memory may be too: as much for each pixel as by default. */
const allowedBytesPerPixel = 5;
/** More would take long, since each strip is a decoding of its own, and save little. */
const maxStrips = 6;

/**
 * Plans how an image is read: whole if that stays below 500 MB, in strips if it must be, not at all
 * where even these take more than 500 MB and 5 bytes for each of `maxPixels`.
 *
 * @param maxPixels most pixels of any image; its own are not more.
 */
export function planDecode(
  format: ImageFormat,
  header: PixelHeader,
  maxPixels: number,
): DecodePlan {
  const pixels = header.width * header.height;
  const bytes = pixelBytes(format, header);
  // What is interlaced is whole before the first row, and rows are read from there.
  const isBuffered = format !== "png" || !header.isInterlaced;
  const rows = isBuffered ? Math.min(header.height, bufferedRows) : 0;
  const keptBytes = rows * header.width * header.channels * header.bytesPerSample;
  const rowBytes = Math.max(0, keptBytes - fixedRowBytes);
  const perPixel = (strips: number) => bytes.held + bytes.read / strips;
  const takenBytes = (strips: number) =>
    fixedBytes + Math.max(pixels * bytes.start, rowBytes + pixels * perPixel(strips));
  const freeBytes = Math.max(wantedBytes, allowedBytesPerPixel * maxPixels) - fixedBytes;
  const most = Math.min(freeBytes / bytes.start, (freeBytes - rowBytes) / perPixel(maxStrips));
  if (pixels > most) return { maxPixels: Math.max(0, Math.floor(most)) };
  let strips = 1;
  while (strips < maxStrips && takenBytes(strips) > wantedBytes) strips += 1;
  return { strips };
}

/** Measured with libvips 8.18, and found in the sources of its readers. */
function pixelBytes(format: ImageFormat, header: PixelHeader): PixelBytes {
  const { channels, bytesPerSample, isInterlaced, isCmyk } = header;
  const read = isCmyk ? channels * bytesPerSample : 3;
  switch (format) {
    // Rows come as they are decoded, but a JPEG of several scans has all of its coefficients first.
    case "jpg":
      return evenly(isInterlaced ? header.coefficientsPerPixel * 2 : 0, read);
    case "png":
      return evenly(isInterlaced ? channels * bytesPerSample : 0, read);
    // RGBA of the whole canvas.
    case "gif":
      return evenly(4, read);
    // The same, and once more for the frame before it is put there.
    case "webp":
      return { start: 8, held: 4, read };
    // All samples where tiles are as high as the image, or planes lie one after the other: then one twice.
    case "tif":
      return {
        start: (channels + 1) * bytesPerSample,
        held: channels * bytesPerSample,
        read,
      };
    // libaom's records of every 4×4 block, and the planes as YUV and RGB.
    case "avif":
      return { start: bytesPerSample === 1 ? 18 : 23, held: 4 * bytesPerSample, read };
    default:
      return format satisfies never;
  }
}

function evenly(held: number, read: number): PixelBytes {
  return { start: held, held, read };
}
