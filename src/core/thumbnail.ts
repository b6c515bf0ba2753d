/** The small picture that shows a client what was embedded, which may have come from a host that it cannot see. */
import type { Batcher } from "../backends/batcher.ts";
import { limits } from "../limits.ts";
import type { MakeThumbnail } from "./embed.ts";

/**
 * Makes the maker of thumbnails: at most `thumbnailSide` pixels, upright, without metadata. It waits in the queue of
 * all other images. An answer does not fail for want of one.
 */
export function createThumbnailMaker({
  prepareUpstream,
}: Pick<Batcher, "prepareUpstream">): MakeThumbnail {
  return async (image, terms) => {
    try {
      const { maxThumbnailChars, thumbnailSide } = limits;
      const { outcome } = await prepareUpstream(
        { ...terms, image },
        maxThumbnailChars,
        thumbnailSide,
      );
      const { result } = outcome;
      if ("problem" in result) return undefined;
      return `data:${result.mime};base64,${result.image.toBase64()}`;
    } catch {
      return undefined;
    }
  };
}
