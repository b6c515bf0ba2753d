/** Pictures that cost what photos cost to send and to decode, each with bytes of its own. */
import sharp from "sharp";
import { ascii, type Bytes, concat, makePixels } from "../support/pictures.ts";

export const photoSize = { width: 640, height: 480 } as const;

interface Size {
  readonly width: number;
  readonly height: number;
}

/** Something like a photo: soft shapes under fine grain. */
async function makePhoto({ width, height }: Size, seed: number): Promise<Buffer> {
  const shapes = { width: 32, height: 24, channels: 3 } as const;
  const soft = await sharp(makePixels({ ...shapes, seed, kind: "noise" }), { raw: shapes })
    .resize(width, height, { kernel: "cubic" })
    .raw()
    .toBuffer();
  const grain = makePixels({ width, height, seed, kind: "noise" });
  const grainy = soft.map((sample, at) => clamp(sample + (grain[at] ?? 0) / 10 - 12));
  return sharp(grainy, { raw: { width, height, channels: 3 } })
    .jpeg({ quality: 85 })
    .toBuffer();
}

function clamp(sample: number): number {
  return Math.min(255, Math.max(0, sample));
}

/**
 * Makes a source of photos: the pixels repeat, the bytes never do, so nothing can be remembered.
 *
 * @param count of photos with pixels of their own.
 */
export async function createPhotos(size: Size = photoSize, count = 16): Promise<() => Bytes> {
  const photos = await Promise.all(
    Array.from({ length: count }, (_, seed) => makePhoto(size, seed)),
  );
  let made = 0;
  return () => {
    const photo = photos[made % photos.length] ?? Buffer.of();
    made += 1;
    return withComment(photo, String(made));
  };
}

/** A JPEG with a comment right after its start marker (ITU-T T.81, B.2.4.5). */
function withComment(jpeg: Uint8Array, text: string): Bytes {
  const marker = Uint8Array.of(0xff, 0xfe, 0, text.length + 2);
  return concat(jpeg.subarray(0, 2), marker, ascii(text), jpeg.subarray(2));
}
