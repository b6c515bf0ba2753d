import { writeFile } from "node:fs/promises";
import { availableParallelism } from "node:os";
import { join } from "node:path";
import { growthPlot } from "./growth-plot.ts";
import { clientCount, type Observed, stagesOf, startLoad } from "./load.ts";
import { createPhotos, photoSize } from "./photo.ts";
import { referenceShapes, type Speed, startReference } from "./reference.ts";
import { tableHead, tableRow } from "./report.ts";
import { startService } from "./server.ts";
import { median, percentile, withRange } from "./statistics.ts";
import { rateOf } from "./throughput.ts";
import { mustSucceed, timingOf, upload } from "./upload.ts";

/** Of a photo of 4:3. */
const megapixels = [0.3, 1, 2, 5, 12, 24, 50];
const clientCounts = [1, 2, 4, 8, 16, 24, 64, 128, 256];
const batches = [1, 2, 4, 8, 16];
const lonePhotos = 3;
const clientsOfSizes = 8;
const warmUpMs = 700;
const roundMs = 1500;
/** Photos of which so few go through in that time that they are watched for longer. */
const slow = { megapixels: 12, times: 2 };
/** The largest photos here are larger than images may be by default. */
const roomForPhotos = {
  MAX_IMAGE_BYTES: String(60 * 1024 ** 2),
  MAX_BODY_BYTES: String(90 * 1024 ** 2),
};

export interface GrowthOptions {
  /** How often everything is done. */
  readonly rounds: number;
  /** Folder that takes the plot; none unless told. */
  readonly plotsDir?: string | undefined;
}

/** Photos of one size, and how the service did. */
export interface SizeGrowth {
  readonly megapixels: number;
  /** ms of a photo when nobody else asks, a median a round. */
  readonly loneMs: readonly number[];
  readonly stagesMs: ReadonlyMap<string, readonly number[]>;
  readonly observed: readonly Observed[];
}

/** So many clients, and how the service did. */
export interface ClientGrowth {
  readonly clients: number;
  readonly observed: readonly Observed[];
}

/** How cost grows: with the size of pictures, with clients, with the batch and with cores. */
export async function* growth({ rounds, plotsDir }: GrowthOptions): AsyncGenerator<string> {
  yield `${rounds} rounds of ${roundMs / 1000} s of each row (from ${slow.megapixels} megapixels on ${(slow.times * roundMs) / 1000} s), row after row and then again; median (least to most)`;
  const sizes = yield* bySize(rounds);
  const clients = yield* byClients(rounds);
  yield* byBatch(rounds);
  yield* byCores(rounds);
  if (plotsDir !== undefined) {
    await writeFile(join(plotsDir, "growth.svg"), growthPlot(sizes, clients));
  }
}

async function* bySize(rounds: number): AsyncGenerator<string, readonly SizeGrowth[]> {
  await using service = await startService("synthetic", roomForPhotos);
  const photos = await Promise.all(
    megapixels.map(async (count) => {
      const width = Math.round(Math.sqrt((count * 1e6 * 4) / 3));
      const nextPhoto = await createPhotos({ width, height: Math.round((width * 3) / 4) }, 1);
      const grown = {
        megapixels: count,
        loneMs: [] as number[],
        answers: [] as Response[],
        observed: [] as Observed[],
      };
      return { nextPhoto, grown };
    }),
  );
  for (let round = 0; round < rounds; round += 1) {
    for (const { nextPhoto, grown } of photos) {
      const tookMs: number[] = [];
      for (let photo = 0; photo < lonePhotos; photo += 1) {
        const startedAt = performance.now();
        grown.answers.push(await mustSucceed(upload(service.url, nextPhoto())));
        tookMs.push(performance.now() - startedAt);
      }
      grown.loneMs.push(median(tookMs));
      await using load = await startLoad(service, nextPhoto, { clients: clientsOfSizes, warmUpMs });
      const times = grown.megapixels < slow.megapixels ? 1 : slow.times;
      grown.observed.push(await load.observe(times * roundMs));
    }
  }
  const sizes = photos.map(({ grown }) => ({
    ...grown,
    stagesMs: stagesOf(grown.answers.map(timingOf)),
  }));
  const stages = ["decode", "infer"];
  yield* tableHead([
    "JPEG, megapixels",
    "MB",
    "a lone photo, ms",
    ...stages.map((stage) => `of which ${stage}`),
    "of which the rest",
    `images/s, ${clientsOfSizes} clients`,
  ]);
  for (const [index, size] of sizes.entries()) {
    const lone = median(size.loneMs);
    const ofStages = stages.map((stage) => median(size.stagesMs.get(stage) ?? [0]));
    const rest = ofStages.reduce((left, ms) => left - ms, lone);
    yield tableRow([
      String(size.megapixels),
      ((photos[index]?.nextPhoto().length ?? 0) / 1e6).toFixed(1),
      withRange(size.loneMs, 0),
      ...[...ofStages, rest].map((ms) => ms.toFixed(1)),
      withRange(size.observed.map(rateOf), 1),
    ]);
  }
  return sizes;
}

async function* byClients(rounds: number): AsyncGenerator<string, readonly ClientGrowth[]> {
  await using service = await startService("synthetic");
  const nextPhoto = await createPhotos();
  const grown = clientCounts.map((clients) => ({ clients, observed: [] as Observed[] }));
  for (let round = 0; round < rounds; round += 1) {
    for (const { clients, observed } of grown) {
      await using load = await startLoad(service, nextPhoto, { clients, warmUpMs });
      observed.push(await load.observe(roundMs));
    }
  }
  yield* tableHead([
    `clients, JPEG ${photoSize.width}×${photoSize.height}`,
    "images/s",
    "ms: p50, p99",
    "refused with 503 at first",
  ]);
  for (const { clients, observed } of grown) {
    const tookMs = observed.flatMap((round) => round.tookMs);
    const refused = observed.reduce((sum, round) => sum + round.refused, 0);
    yield tableRow([
      String(clients),
      withRange(observed.map(rateOf), 1),
      [50, 99].map((percent) => percentile(tookMs, percent).toFixed(0)).join(", "),
      refused === 0 ? "none" : `${refused} of ${refused + tookMs.length} requests`,
    ]);
  }
  return grown;
}

/** Bare onnxruntime, the faster division of the cores. */
async function* byBatch(rounds: number): AsyncGenerator<string> {
  const { oneSession, manySessions } = referenceShapes();
  await using one = await startReference(oneSession);
  await using many = await startReference(manySessions);
  const grown = batches.map((batch) => ({ batch, one: [] as Speed[], many: [] as Speed[] }));
  for (let round = 0; round < rounds; round += 1) {
    for (const speeds of grown) {
      speeds.one.push(await one.observe(speeds.batch, roundMs));
      speeds.many.push(await many.observe(speeds.batch, roundMs));
    }
  }
  yield* tableHead([
    "batch, bare onnxruntime",
    ...[one, many].map(({ shape }) => `images/s, ${shape} threads`),
    ...[one, many].map(({ shape }) => `ms of an inference, ${shape}`),
  ]);
  const sessions = [1, manySessions.sessions];
  for (const { batch, ...speeds } of grown) {
    const both = [speeds.one, speeds.many].map((round) => round.map(rateOf));
    yield tableRow([
      String(batch),
      ...both.map((rates) => withRange(rates, 1)),
      ...both.map((rates, at) => (((sessions[at] ?? 1) * batch * 1000) / median(rates)).toFixed(0)),
    ]);
  }
}

/** The service, and everything that loads it, on so many cores. */
async function* byCores(rounds: number): AsyncGenerator<string> {
  const all = availableParallelism();
  if (Bun.which("taskset") === null) {
    yield "by cores: left out, taskset is not installed";
    return;
  }
  const counts = [...new Set([1, Math.ceil(all / 2), all])];
  const nextPhoto = await createPhotos();
  const grown = counts.map((cores) => ({ cores, bare: [] as number[], served: [] as Observed[] }));
  try {
    for (const { cores, bare, served } of grown) {
      await pinToCores(cores);
      await using reference = await startReference({ sessions: cores, threads: 1 });
      await using service = await startService("synthetic");
      for (let round = 0; round < rounds; round += 1) {
        bare.push((await reference.observe(8, roundMs)).imagesPerS);
        await using load = await startLoad(service, nextPhoto, { warmUpMs });
        served.push(await load.observe(roundMs));
      }
    }
  } finally {
    await pinToCores(all);
  }
  yield* tableHead([
    "cores, clients among them",
    `images/s, ${clientCount} clients`,
    "bare onnxruntime, one session a core, batches of 8",
    "ratio of the medians",
  ]);
  for (const { cores, bare, served } of grown) {
    yield tableRow([
      String(cores),
      withRange(served.map(rateOf), 1),
      withRange(bare, 1),
      (median(served.map(rateOf)) / median(bare)).toFixed(2),
    ]);
  }
}

/** Lets this process, and whatever it starts from now on, use the first so many cores. */
async function pinToCores(cores: number): Promise<void> {
  const child = Bun.spawn(
    ["taskset", "--all-tasks", "--cpu-list", "--pid", `0-${cores - 1}`, String(process.pid)],
    { stdio: ["ignore", "ignore", "inherit"] },
  );
  if ((await child.exited) !== 0) throw new Error(`taskset could not choose ${cores} cores`);
}
