import { stageMedians, stagesOf, warmUp } from "./load.ts";
import { openConnection } from "./open-loop-connection.ts";
import { createPhotos, photoSize } from "./photo.ts";
import { referenceShapes, startReference } from "./reference.ts";
import { findingRow, findingsHead } from "./report.ts";
import { startService } from "./server.ts";
import { median, percentile, withTail } from "./statistics.ts";
import { uploadRequest } from "./upload.ts";

const rounds = 5;
const roundMs = 2000;
const wanted = { times: 1.2, plusMs: 3 };

/** How long one image takes when nobody else asks, beside a single inference. */
export async function* latency(): AsyncGenerator<string> {
  const nextPhoto = await createPhotos();
  const { oneSession, manySessions } = referenceShapes();
  await using allCores = await startReference(oneSession);
  await using oneWorker = await startReference({ ...manySessions, sessions: 1 });
  await using service = await startService("synthetic");
  const references = [allCores, oneWorker].map((reference) => ({
    reference,
    rounds: [] as (readonly number[])[],
  }));
  const tookMs: (readonly number[])[] = [];
  const timings: string[] = [];
  await warmUp(service, nextPhoto);
  const connection = await openConnection(service.url);
  for (let round = 0; round < rounds; round += 1) {
    for (const one of references) one.rounds.push(await one.reference.inferenceMs(1, roundMs));
    const ofRound: number[] = [];
    const until = performance.now() + roundMs;
    while (performance.now() < until) {
      const request = uploadRequest(service.url, nextPhoto());
      const startedAt = performance.now();
      const { refusal, serverTiming } = await connection.exchange(request);
      if (refusal !== undefined) throw new Error(`the service answered ${refusal}`);
      ofRound.push(performance.now() - startedAt);
      timings.push(serverTiming);
    }
    tookMs.push(ofRound);
  }
  connection.close();
  yield `one client, one image (${photoSize.width}×${photoSize.height} JPEG) at a time, ${rounds} rounds of each in turn, ms`;
  for (const { reference, rounds: inferences } of references) {
    yield `onnxruntime, ${reference.shape} threads, one image: ${withTail(inferences.flat(), 1)}`;
  }
  yield `service: ${withTail(tookMs.flat(), 1)}`;
  yield `of which by stage, median: ${stageMedians(stagesOf(timings))}`;
  const [bare = []] = references.map(({ rounds: inferences }) => inferences);
  const allowed = wanted.times * median(bare.flat()) + wanted.plusMs;
  const p50 = median(tookMs.flat());
  yield* findingsHead;
  yield findingRow({
    what: "one client, one small JPEG at a time, ms: p50 (and of the rounds, least to most)",
    measured: ofRounds(tookMs),
    reference: `bare onnxruntime, one image, one session on all cores: ${ofRounds(bare)}; p99 ${percentile(bare.flat(), 99).toFixed(1)}`,
    compared: `${(p50 / median(bare.flat())).toFixed(2)} ×; p99 ${percentile(tookMs.flat(), 99).toFixed(1)}`,
    wanted: `at most ${wanted.times} × and ${wanted.plusMs} ms, which is ${allowed.toFixed(1)}`,
    isMet: p50 <= allowed,
  });
}

/** p50 of all rounds, and the least and the most of the rounds' own. */
function ofRounds(rounds: readonly (readonly number[])[]): string {
  const medians = rounds.map(median);
  const [least, most] = [Math.min(...medians), Math.max(...medians)];
  return `${median(rounds.flat()).toFixed(1)} (${least.toFixed(1)} to ${most.toFixed(1)})`;
}
