import { availableParallelism } from "node:os";
import { join } from "node:path";
import { prepareSynthetic } from "../support/default-model.ts";
import { testModelsDir } from "../support/service.ts";
import { startChild } from "./child.ts";
import { clientCount } from "./load.ts";
import { createPhotos } from "./photo.ts";
import { type ProcessMemory, processMemory } from "./process-usage.ts";
import { findingRow, findingsHead, tableHead, tableRow } from "./report.ts";
import { startService } from "./server.ts";
import type { SessionsAnswer, SessionsQuestion } from "./session-memory.ts";
import { mustSucceed, upload } from "./upload.ts";

const MB = 1e6;
const workerCounts = [1, 2, 4, 8];
const sessionCounts = [1, 2, 4, 8];
const wanted = { overWeights: 300 * MB, eachWorker: 80 * MB };

export interface MemoryOptions {
  /** That the service embeds before it is looked at. */
  readonly images: number;
}

/** What workers hold, and what they share: each more of them, both towers, a second instance beside the first. */
export async function* memory({ images }: MemoryOptions): AsyncGenerator<string> {
  const { imageTower, textTower, packed } = await prepareSynthetic(
    join(testModelsDir, "synthetic"),
  );
  yield "MB of one process: its share of what is mapped by several, and its own without files";
  yield* tableHead([
    "sessions of the image tower in one process",
    ...sessionCounts.map(String),
    "the last opened in, ms",
  ]);
  yield await sessionsRow("not packed", imageTower);
  if (packed !== undefined) yield await sessionsRow("packed", packed.imageTower);
  const used: WorkersMemory[] = [];
  yield* tableHead(["workers", "ready", `after ${images} images`, "with the text tower too"]);
  // A worker more than there are cores is not started.
  for (const workers of workerCounts.filter((count) => count <= availableParallelism())) {
    const one = await measureWorkers(workers, images);
    used.push(one);
    yield tableRow([String(workers), ...[one.ready, one.worked, one.both].map(show)]);
  }
  yield await secondInstance();
  yield* findingsHead;
  yield* judge(used, images, weightBytes([imageTower, textTower]));
}

interface WorkersMemory {
  readonly workers: number;
  readonly ready: ProcessMemory;
  readonly worked: ProcessMemory;
  /** With the text tower loaded. */
  readonly both: ProcessMemory;
}

async function measureWorkers(workers: number, images: number): Promise<WorkersMemory> {
  await using service = await startService("synthetic", { WORKERS: String(workers) });
  const ready = await processMemory(service.pid);
  const nextPhoto = await createPhotos();
  let sent = 0;
  const client = async () => {
    for (; sent < images; sent += 1) await mustSucceed(upload(service.url, nextPhoto()));
  };
  await Promise.all(Array.from({ length: clientCount }, client));
  const worked = await processMemory(service.pid);
  await mustSucceed(embedText(service.url));
  return { workers, ready, worked, both: await processMemory(service.pid) };
}

async function secondInstance(): Promise<string> {
  await using _one = await startService("synthetic");
  await using other = await startService("synthetic");
  return `a second instance beside the first, as in an upgrade: ${show(await processMemory(other.pid))}`;
}

function* judge(
  used: readonly WorkersMemory[],
  images: number,
  weights: number,
): Generator<string> {
  const [first, last] = [used[0], used.at(-1)];
  if (first === undefined || last === undefined) return;
  const { workers, both } = last;
  yield findingRow({
    what: `memory with both towers, ${workers} workers, after ${images} images, MB`,
    measured: inMb(both.proportional),
    reference: `one copy of the weights: ${inMb(weights)}`,
    compared: `+${inMb(both.proportional - weights)}`,
    wanted: `at most +${inMb(wanted.overWeights)}`,
    isMet: both.proportional <= weights + wanted.overWeights,
  });
  if (workers === first.workers) return;
  const each = (both.proportional - first.both.proportional) / (workers - first.workers);
  yield findingRow({
    what: `memory of each worker more, up to ${workers}, MB`,
    measured: inMb(each),
    reference: `one worker: ${inMb(first.both.proportional)}`,
    wanted: `under ${inMb(wanted.eachWorker)}`,
    isMet: each < wanted.eachWorker,
  });
}

/** Bytes of the towers' data files. */
function weightBytes(towers: readonly string[]): number {
  return towers.reduce((sum, path) => sum + Bun.file(`${path}.data`).size, 0);
}

/** Opens more and more sessions in one process. */
async function sessionsRow(name: string, imageTower: string): Promise<string> {
  const args = ["test/bench/session-memory.ts", imageTower];
  await using child = startChild<SessionsQuestion, SessionsAnswer>({ args });
  const cells: string[] = [];
  let lastMs = 0;
  for (const count of sessionCounts) {
    lastMs = (await child.ask({ count })).openMs;
    cells.push(show(await processMemory(child.pid)));
  }
  return tableRow([name, ...cells, lastMs.toFixed(0)]);
}

function show({ proportional, anonymous }: ProcessMemory): string {
  return `${inMb(proportional)}, own ${inMb(anonymous)}`;
}

function inMb(bytes: number): string {
  return (bytes / MB).toFixed(0);
}

function embedText(url: URL): Promise<Response> {
  return fetch(new URL("/embed-text", url), {
    method: "POST",
    headers: { "Content-Type": "application/json" },
    body: JSON.stringify({ text: "two dogs in the snow" }),
  });
}
