import { stagesOf } from "./load.ts";
import { createPhotos } from "./photo.ts";
import { referenceShapes, startReference } from "./reference.ts";
import { startService } from "./server.ts";
import { median, withTail } from "./statistics.ts";
import { mustSucceed, upload } from "./upload.ts";

const rounds = 3;
const roundMs = 2000;

/** How long one image takes when nobody else asks, beside a single inference. */
export async function* latency(): AsyncGenerator<string> {
  const nextPhoto = await createPhotos();
  const { oneSession, manySessions } = referenceShapes();
  await using allCores = await startReference(oneSession);
  await using oneWorker = await startReference({ ...manySessions, sessions: 1 });
  await using service = await startService("synthetic");
  const references = [allCores, oneWorker].map((reference) => ({
    reference,
    tookMs: [] as number[],
  }));
  const tookMs: number[] = [];
  const answers: Response[] = [];
  await mustSucceed(upload(service.url, nextPhoto()));
  for (let round = 0; round < rounds; round += 1) {
    for (const one of references) one.tookMs.push(...(await one.reference.inferenceMs(1, roundMs)));
    const until = performance.now() + roundMs;
    while (performance.now() < until) {
      const startedAt = performance.now();
      answers.push(await mustSucceed(upload(service.url, nextPhoto())));
      tookMs.push(performance.now() - startedAt);
    }
  }
  yield `one client, one image at a time, ${rounds} rounds of each in turn, ms`;
  for (const { reference, tookMs: inferenceMs } of references) {
    yield `onnxruntime, ${reference.shape} threads, one image: ${withTail(inferenceMs, 1)}`;
  }
  yield `service: ${withTail(tookMs, 1)}`;
  const limitMs = 1.2 * median(references[0]?.tookMs ?? []) + 3;
  yield `wanted: p50 at most 1.2 × that of all cores, and 3 ms: ${limitMs.toFixed(1)}`;
  const stages = [...stagesOf(answers)].map(([name, ms]) => `${name} ${median(ms).toFixed(1)}`);
  yield `of which by stage, median: ${stages.join(", ")}`;
}
