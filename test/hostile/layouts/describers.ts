import type { ImageFormat } from "../../../src/image/signature.ts";
import type { Bytes } from "../../support/pictures.ts";
import { describeAvif } from "./avif.ts";
import { describeGif } from "./gif.ts";
import { describeJpeg } from "./jpeg.ts";
import type { Layout } from "./layout.ts";
import { describePng, mendPng } from "./png.ts";
import { describeTiff } from "./tiff.ts";
import { describeWebp } from "./webp.ts";

interface Describer {
  /** Reads a sound file of the format. */
  readonly describe: (bytes: Uint8Array) => Layout;
  /** Makes good in place what would hide the damage from the decoder, such as checksums. */
  readonly mend: (bytes: Bytes) => void;
}

/** Those formats without checksums need no mending. */
const mendNothing = () => {};

/** One a format. */
export const describers: Readonly<Record<ImageFormat, Describer>> = {
  jpg: { describe: describeJpeg, mend: mendNothing },
  png: { describe: describePng, mend: mendPng },
  webp: { describe: describeWebp, mend: mendNothing },
  gif: { describe: describeGif, mend: mendNothing },
  avif: { describe: describeAvif, mend: mendNothing },
  tif: { describe: describeTiff, mend: mendNothing },
};
