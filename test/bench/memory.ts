import { availableParallelism, tmpdir } from "node:os";
import { join } from "node:path";
import { prepareSynthetic } from "../support/default-model.ts";
import { testModelsDir } from "../support/service.ts";
import { startChild } from "./child.ts";
import { clientCount } from "./load.ts";
import { createPhotos } from "./photo.ts";
import { type ProcessMemory, processMemory, residentOnce } from "./process-usage.ts";
import { findingRow, findingsHead, tableHead, tableRow } from "./report.ts";
import { startService } from "./server.ts";
import type { SessionsAnswer, SessionsQuestion } from "./session-memory.ts";
import { mustSucceed, upload } from "./upload.ts";
import type { WorkersAnswer, WorkersQuestion } from "./workers-child.ts";

const MB = 1e6;
const workerCounts = [1, 2, 4, 8];
const sessionCounts = [1, 2, 4, 8];
const wanted = { overWeights: 300 * MB, eachWorker: 80 * MB };

/** For each number of workers: batches of every size come about, and every worker gets some. */
const growthImages = 300;
const growthTexts = 240;
const settleMs = 1_500;

export interface MemoryOptions {
  /** That the service embeds, as its users start it, before it is looked at. */
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
  yield* tableHead([
    "workers, as if each had a core of its own",
    "ready",
    `after ${growthImages} images`,
    `after ${growthTexts} texts on all of them too`,
  ]);
  const grown: WorkersMemory[] = [];
  for (const workers of workerCounts) {
    const one = await measureWorkers(workers);
    grown.push(one);
    yield tableRow([String(workers), ...[one.ready, one.worked, one.both].map(show)]);
  }
  yield await secondInstance();
  yield* findingsHead;
  yield await judgeLongRun(images, weightBytes([imageTower, textTower]));
  yield* judgeGrowth(grown);
}

interface WorkersMemory {
  readonly workers: number;
  readonly ready: ProcessMemory;
  readonly worked: ProcessMemory;
  /** With the text tower loaded. */
  readonly both: ProcessMemory;
}

async function measureWorkers(workers: number): Promise<WorkersMemory> {
  const args = ["test/bench/workers-child.ts", String(workers)];
  // They find the models in the temporary folder.
  const environment = { TMPDIR: tmpdir() };
  await using child = startChild<WorkersQuestion, WorkersAnswer>({ args, environment });
  const url = new URL(await child.ask("url"));
  // The session of all cores is opened when the others are ready.
  await Bun.sleep(settleMs);
  const ready = await processMemory(child.pid);
  await embedImages(url, growthImages);
  const worked = await processMemory(child.pid);
  await embedTexts(url, growthTexts);
  return { workers, ready, worked, both: await processMemory(child.pid) };
}

/** Sends small pictures from the clients of the documented load. */
async function embedImages(url: URL, count: number): Promise<void> {
  const nextPhoto = await createPhotos();
  await fromClients(count, () => upload(url, nextPhoto()));
}

/** Sends texts of all lengths, so many at once that each worker gets some. */
async function embedTexts(url: URL, count: number): Promise<void> {
  await fromClients(count, (index) =>
    fetch(new URL("/embed-text", url), {
      method: "POST",
      headers: { "Content-Type": "application/json" },
      body: JSON.stringify({ text: `${index} dogs ${"in the snow ".repeat(index % 9)}` }),
    }),
  );
}

async function fromClients(count: number, send: (index: number) => Promise<Response>) {
  let sent = 0;
  const client = async () => {
    while (sent < count) {
      sent += 1;
      await mustSucceed(send(sent));
    }
  };
  await Promise.all(Array.from({ length: clientCount }, client));
}

async function secondInstance(): Promise<string> {
  await using _one = await startService("synthetic");
  await using other = await startService("synthetic");
  return `a second instance beside the first, as in an upgrade: ${show(await processMemory(other.pid))}`;
}

/** What the service holds, as it is started by its users, after a long time under load. */
async function judgeLongRun(images: number, weights: number): Promise<string> {
  await using service = await startService("synthetic");
  await embedImages(service.url, images);
  await embedTexts(service.url, growthTexts);
  const resident = await residentOnce(service.pid);
  return findingRow({
    what: `memory with both towers, ${availableParallelism()} workers, after ${images} images, MB`,
    measured: inMb(resident),
    reference: `one copy of the weights: ${inMb(weights)}`,
    compared: `${inMb(resident - weights)} more`,
    wanted: `at most ${inMb(wanted.overWeights)} more`,
    isMet: resident <= weights + wanted.overWeights,
  });
}

/** By its own memory: the share of what is mapped also tells how many other processes map it. */
function* judgeGrowth([first, ...more]: readonly WorkersMemory[]): Generator<string> {
  if (first === undefined) return;
  for (const { workers, both } of more) {
    const each = (both.anonymous - first.both.anonymous) / (workers - first.workers);
    yield findingRow({
      what: `own memory of each worker more, up to ${workers}, both towers, MB`,
      measured: inMb(each),
      reference: `one worker: ${inMb(first.both.anonymous)}`,
      wanted: `under ${inMb(wanted.eachWorker)}`,
      isMet: each < wanted.eachWorker,
    });
  }
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
