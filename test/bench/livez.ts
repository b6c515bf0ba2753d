import { startLoad } from "./load.ts";
import { createPhotos } from "./photo.ts";
import { findingRow, findingsHead } from "./report.ts";
import { startBystander, startService } from "./server.ts";
import { withTail } from "./statistics.ts";

const loadMs = 10_000;
const everyMs = 25;

/** How soon `/livez` is answered while every core is busy. */
export async function* livez(): AsyncGenerator<string> {
  await using bystander = await startBystander();
  await using service = await startService("synthetic");
  await using load = await startLoad(service, await createPhotos());
  const until = performance.now() + loadMs;
  const [served, beside] = await Promise.all([
    answerMs(new URL("/livez", service.url), until),
    answerMs(bystander.url, until),
    load.observe(loadMs),
  ]);
  yield `under the load of the throughput figure, ${served.length} times, ms until the answer is read`;
  yield* findingsHead;
  yield findingRow({
    what: "`/livez` under the load of 24 clients, ms",
    measured: withTail(served, 1),
    reference: `an idle process beside it: ${withTail(beside, 1)}`,
    wanted: "longest under 50",
    isMet: Math.max(...served) < 50,
  });
}

/** Asks again and again, and at once where an answer took longer than the pause. */
async function answerMs(url: URL, until: number): Promise<readonly number[]> {
  const tookMs: number[] = [];
  while (performance.now() < until) {
    const startedAt = performance.now();
    await (await fetch(url)).text();
    tookMs.push(performance.now() - startedAt);
    await Bun.sleep(Math.max(0, startedAt + everyMs - performance.now()));
  }
  return tookMs;
}
