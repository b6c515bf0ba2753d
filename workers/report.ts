/** What an image was like, as far as its decoding shows it. */
import type { ImageBytes, ImageReport } from "../src/backends/protocol.ts";
import { hintsOf } from "../src/image/hints.ts";
import { parseOrientation } from "../src/image/orientation.ts";
import type { OpenedImage } from "./decode.ts";

/** Pixels of the square from which hints are read, whatever the model: CLIP's. */
export const reportSide = 224;

/** @param view the centre of the upright image, scaled to a square: uint8, [side, side, 3]. */
export async function reportOn(
  image: ImageBytes,
  {
    width,
    height,
    orientation,
    header,
  }: Pick<OpenedImage, "width" | "height" | "orientation" | "header">,
  view: Uint8Array,
): Promise<ImageReport> {
  return {
    orientation: parseOrientation(header.orientation),
    isTurned: orientation !== 1,
    colourSpace: header.space,
    hasAlpha: header.hasAlpha,
    frames: header.pages ?? 1,
    bytes: image.kind === "memory" ? image.bytes.length : Bun.file(image.path).size,
    hints: hintsOf(view, Math.min(width, height)),
  };
}
