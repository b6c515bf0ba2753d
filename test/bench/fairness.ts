import { clientCount, stagesOf } from "./load.ts";
import { createPhotos } from "./photo.ts";
import { startService } from "./server.ts";
import { median, withRange, withTail } from "./statistics.ts";
import { mustSucceed, timingOf, upload } from "./upload.ts";

const rounds = 5;
const manyCount = 256;
/** Images of a full batch. */
const batchSize = 8;
/** ms after which the request of many is surely under way. */
const headStartMs = 500;

/** What one request of 256 images does to single requests that come at once, beside the same without it. */
export async function* fairness(): AsyncGenerator<string> {
  const nextPhoto = await createPhotos();
  await using service = await startService("synthetic", {
    QUEUE_LIMIT: "200",
    CACHE_MAX_BYTES: "0",
  });
  const answers: Response[] = [];

  async function singles(): Promise<readonly number[]> {
    return await Promise.all(
      Array.from({ length: clientCount }, async () => {
        const photo = nextPhoto();
        const startedAt = performance.now();
        answers.push(await mustSucceed(upload(service.url, photo)));
        return performance.now() - startedAt;
      }),
    );
  }

  const input = Array.from({ length: manyCount }, () => ({ image: nextPhoto().toBase64() }));
  const body = JSON.stringify({ model: "clip-ViT-B-32", input, encoding_format: "base64" });
  const many = () =>
    mustSucceed(
      fetch(new URL("/v1/embeddings", service.url), {
        method: "POST",
        headers: { "content-type": "application/json" },
        body,
      }),
    );

  await singles();
  answers.length = 0;
  const alone: number[] = [];
  const beside: number[] = [];
  const manyMs: number[] = [];
  for (let round = 0; round < rounds; round += 1) {
    alone.push(...(await singles()));
    const startedAt = performance.now();
    const request = many().then(() => manyMs.push(performance.now() - startedAt));
    await Bun.sleep(headStartMs);
    beside.push(...(await singles()));
    await request;
  }
  const stages = stagesOf(answers.map(timingOf));
  const batchMs =
    median(stages.get("infer") ?? [0]) + batchSize * median(stages.get("decode") ?? [0]);
  const growthMs = median(beside) - median(alone);
  yield `${clientCount} single requests at once, alone, ms: ${withTail(alone, 0)}`;
  yield `the same while one request of ${manyCount} images is served: ${withTail(beside, 0)}`;
  yield `that request itself: ${withRange(manyMs, 0)}`;
  yield `p50 grows by ${growthMs.toFixed(0)} ms, ${(growthMs / batchMs).toFixed(2)} times what a batch of ${batchSize} takes (${batchMs.toFixed(0)} ms); wanted: at most 1`;
}
