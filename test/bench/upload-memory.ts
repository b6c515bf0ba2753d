import { settings } from "../../src/config.ts";
import { makeJpeg, makePng } from "../support/pictures.ts";
import { createPhotos } from "./photo.ts";
import { peakGrowth } from "./process-usage.ts";
import { tableHead, tableRow, verdictOf } from "./report.ts";
import { startService } from "./server.ts";
import { withRange } from "./statistics.ts";
import { mustSucceed, upload, uploadInChunks } from "./upload.ts";

const MB = 1e6;
const times = 5;
const maxImageBytes = settings.MAX_IMAGE_BYTES.fallback;

/** How much the service grows while a large upload comes in, is decoded and embedded. */
export async function* uploadMemory(): AsyncGenerator<string> {
  const nextPhoto = await createPhotos();
  const jpeg = await makeJpeg({ width: 640, height: 480 });
  // What follows a JPEG's end is ignored by every decoder, and kept.
  const padded = new Uint8Array(maxImageBytes);
  padded.set(jpeg);
  const size = { width: 2640, height: 2640 };
  const noise = await makePng({ ...size, kind: "noise" });
  const tooLarge = new Uint8Array(100 * MB);
  tooLarge.set(jpeg);
  await using service = await startService("synthetic");
  const succeed = (image: Uint8Array) => mustSucceed(upload(service.url, image));
  const cases = [
    { name: "640×480 JPEG, 20 MiB with padding", send: () => succeed(padded) },
    {
      name: `${size.width}×${size.height} noise PNG, ${(noise.length / 1024 ** 2).toFixed(1)} MiB`,
      send: () => succeed(noise),
    },
    {
      name: "100 MB, refused by its Content-Length",
      send: () => mustBeRefused(upload(service.url, tooLarge)),
    },
    {
      name: "100 MB in chunks, refused as it comes",
      send: () => mustBeRefused(uploadInChunks(service.url, tooLarge)),
    },
  ];
  yield `peak of the resident memory over that before the request, ${times} uploads after one small image, MB: median (least to most)`;
  yield* tableHead(["upload", "the first, MB", "all, MB", "wanted", ""]);
  for (const { name, send } of cases) {
    const growths: number[] = [];
    for (let time = 0; time < times; time += 1) {
      await succeed(nextPhoto());
      growths.push((await peakGrowth(service.pid, send)) / MB);
    }
    yield tableRow([
      name,
      growths[0]?.toFixed(1) ?? "",
      withRange(growths, 1),
      "each under 40",
      verdictOf(Math.max(...growths) < 40),
    ]);
  }
}

async function mustBeRefused(answer: Promise<Response>): Promise<void> {
  const { status } = await answer;
  if (status !== 413) throw new Error(`the service answered ${status} instead of 413`);
}
