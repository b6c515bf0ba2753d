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
/** Bytes that do not grow with the pixels: rows in work, and what the allocator has not yet given back. */
const fixedBytes = 50_000_000;
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
  const perPixel = (strips: number) => Math.max(bytes.start, bytes.held + bytes.read / strips);
  const allowedBytes = Math.max(wantedBytes, allowedBytesPerPixel * maxPixels);
  const most = Math.floor((allowedBytes - fixedBytes) / perPixel(maxStrips));
  if (pixels > most) return { maxPixels: most };
  let strips = 1;
  while (strips < maxStrips && fixedBytes + pixels * perPixel(strips) > wantedBytes) strips += 1;
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
    // Planes one after the other, in one strip each.
    case "tif":
      return evenly(4, read);
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
