import sharp from "sharp";
import { configureSharp, decodeImage } from "../../workers/decode.ts";
import { preprocess } from "../../workers/preprocess.ts";
import { makeJpeg } from "../support/pictures.ts";
import { createPhotos, photoSize } from "./photo.ts";
import { withTail } from "./statistics.ts";

const side = 224;
const times = 40;
const decodeOptions = { maxPixels: 100_000_000, orientation: "apply" } as const;

/** ms from bytes to the model's input on one thread, without a service, beside libvips alone. */
export async function* decode(): AsyncGenerator<string> {
  configureSharp();
  const nextPhoto = await createPhotos();
  const large = await makeJpeg({ width: 4000, height: 3000 });
  const out = new Float32Array(3 * side * side);
  const pictures = [
    { name: `${photoSize.width}×${photoSize.height} JPEG`, next: nextPhoto, times },
    { name: "4000×3000 JPEG", next: () => large, times: times / 4 },
  ];
  yield `bytes to float32 [3, ${side}, ${side}], one after the other, ms`;
  for (const picture of pictures) {
    const libvipsMs: number[] = [];
    const decodeMs: number[] = [];
    const preprocessMs: number[] = [];
    for (let time = 0; time < picture.times; time += 1) {
      const bytes = picture.next();
      libvipsMs.push(await timed(() => sharp(bytes).raw().toBuffer()));
      const startedAt = performance.now();
      const decoded = await decodeImage({ kind: "memory", bytes }, decodeOptions);
      decodeMs.push(performance.now() - startedAt);
      preprocessMs.push(await timed(async () => preprocess(decoded, side, out, 0)));
    }
    yield `${picture.name}: libvips alone ${withTail(libvipsMs, 1)}`;
    yield `${picture.name}: decode, with digest and checks ${withTail(decodeMs, 1)}`;
    yield `${picture.name}: resize, crop and tensor ${withTail(preprocessMs, 1)}`;
  }
}

async function timed(work: () => Promise<unknown>): Promise<number> {
  const startedAt = performance.now();
  await work();
  return performance.now() - startedAt;
}
