import { availableParallelism } from "node:os";
import { join } from "node:path";
import { prepareSynthetic } from "../support/default-model.ts";
import { testModelsDir } from "../support/service.ts";
import { startChild } from "./child.ts";
import { createPhotos } from "./photo.ts";
import { processMemory } from "./process-usage.ts";
import { startService } from "./server.ts";
import type { SessionsAnswer, SessionsQuestion } from "./session-memory.ts";
import { mustSucceed, upload } from "./upload.ts";

const MB = 1e6;
const workerCounts = [1, 2, 4, 8];
const sessionCounts = [1, 2, 4];
const photos = 100;

/** What workers hold, and what they share: each more of them, both towers, a second instance beside the first. */
export async function* memory(): AsyncGenerator<string> {
  yield "MB of one process: its share of what is mapped by several, and its own without files";
  const { imageTower, packed } = await prepareSynthetic(join(testModelsDir, "synthetic"));
  yield `sessions of the image tower: ${await sessions(imageTower)}`;
  if (packed !== undefined) yield `the same, packed: ${await sessions(packed.imageTower)}`;
  // A worker more than there are cores is not started.
  for (const workers of workerCounts.filter((count) => count <= availableParallelism())) {
    await using service = await startService("synthetic", { WORKERS: String(workers) });
    const ready = await show(service.pid);
    const nextPhoto = await createPhotos();
    for (let sent = 0; sent < photos; sent += 1)
      await mustSucceed(upload(service.url, nextPhoto()));
    const worked = await show(service.pid);
    await mustSucceed(embedText(service.url));
    const both = await show(service.pid);
    yield `service, ${workers} workers: ready ${ready}; after ${photos} images ${worked}; with the text tower ${both}`;
  }
  await using _one = await startService("synthetic");
  await using other = await startService("synthetic");
  yield `a second instance beside the first, as in an upgrade: ${await show(other.pid)}`;
}

/** Opens more and more sessions in one process. */
async function sessions(imageTower: string): Promise<string> {
  const args = ["test/bench/session-memory.ts", imageTower];
  await using child = startChild<SessionsQuestion, SessionsAnswer>({ args });
  const shown: string[] = [];
  for (const count of sessionCounts) {
    const { openMs } = await child.ask({ count });
    shown.push(`${count}: ${await show(child.pid)}, the last opened in ${openMs.toFixed(0)} ms`);
  }
  return shown.join("; ");
}

async function show(pid: number): Promise<string> {
  const { proportional, anonymous } = await processMemory(pid);
  return [proportional, anonymous].map((bytes) => (bytes / MB).toFixed(0)).join(" and ");
}

function embedText(url: URL): Promise<Response> {
  return fetch(new URL("/embed-text", url), {
    method: "POST",
    headers: { "Content-Type": "application/json" },
    body: JSON.stringify({ text: "two dogs in the snow" }),
  });
}
