import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { availableParallelism, tmpdir } from "node:os";
import { join } from "node:path";
import { startChild } from "./child.ts";
import { clientCount, type Observed, stageMedians, startLoad, warmUp } from "./load.ts";
import { createPhotos } from "./photo.ts";
import type { PixelsAnswer, PixelsQuestion } from "./pixels-child.ts";
import { referenceShapes, startReference } from "./reference.ts";
import { findingRow, findingsHead } from "./report.ts";
import { startService } from "./server.ts";
import { median, ratios, withRange } from "./statistics.ts";
import { allStages, clientCostOf, rateOf } from "./throughput.ts";

const size = { width: 1920, height: 1080 };
const rounds = 5;
const batch = 8;
const referenceMs = 2000;
const loadMs = 5000;
const wanted = 0.9;

/** Images a second of the whole service with photos that cost something to decode, over what its stages take alone. */
export async function* largePhotos(): AsyncGenerator<string> {
  const nextPhoto = await createPhotos(size);
  const cores = availableParallelism();
  const { oneSession, manySessions } = referenceShapes();
  const folder = await mkdtemp(join(tmpdir(), "imagesvc-bench-"));
  try {
    const path = join(folder, "photo.jpg");
    await writeFile(path, nextPhoto());
    await using one = await startReference(oneSession);
    await using many = await startReference(manySessions);
    await using pixels = startPixels(cores);
    await using service = await startService("synthetic");
    const alone: { decodeMs: number; preprocessMs: number; inferenceMs: number }[] = [];
    const served: Observed[] = [];
    await warmUp(service, nextPhoto);
    for (let round = 0; round < rounds; round += 1) {
      const speeds = [];
      for (const reference of [one, many]) {
        speeds.push((await reference.observe(batch, referenceMs)).imagesPerS);
      }
      // Of all cores together: each core works at its own image.
      const inferenceMs = 1000 / Math.max(...speeds);
      alone.push({ ...(await pixels.perImage(path, referenceMs)), inferenceMs });
      await using load = await startLoad(service, nextPhoto);
      served.push(await load.observe(loadMs));
    }
    const limits = alone.map(
      ({ decodeMs, preprocessMs, inferenceMs }) => 1000 / (decodeMs + preprocessMs + inferenceMs),
    );
    const compared = ratios(served.map(rateOf), limits);
    const of = (pick: (one: (typeof alone)[number]) => number) => withRange(alone.map(pick), 2);
    yield `${clientCount} clients at once (${size.width}×${size.height} JPEG, ${nextPhoto().length >> 10} KiB), ${rounds} rounds of each in turn: median (least to most)`;
    yield `each stage alone, over all ${cores} cores, ms an image: decode ${of(({ decodeMs }) => decodeMs)}, resize with crop and tensor ${of(({ preprocessMs }) => preprocessMs)}, inference in batches of ${batch} ${of(({ inferenceMs }) => inferenceMs)}`;
    yield `ms of an image by stage in the service, median: ${stageMedians(allStages(served))}`;
    yield `clients, on the same cores: ${withRange(served.map(clientCostOf), 2)} ms of processor time an image`;
    yield* findingsHead;
    yield findingRow({
      what: `${clientCount} clients at once, JPEG ${size.width}×${size.height}, images/s`,
      measured: withRange(served.map(rateOf), 1),
      reference: `1 / (decode + resize + inference, each alone, over all cores): ${withRange(limits, 1)}`,
      compared: withRange(compared, 2),
      wanted: `at least ${wanted.toFixed(2)}`,
      isMet: median(compared) >= wanted,
    });
  } finally {
    await rm(folder, { recursive: true, force: true });
  }
}

/** Processes that only decode and preprocess, one for each core. */
function startPixels(cores: number) {
  const children = Array.from({ length: cores }, () =>
    startChild<PixelsQuestion, PixelsAnswer>({ args: ["test/bench/pixels-child.ts"] }),
  );
  return {
    /** ms of all cores together that each stage takes, an image. */
    perImage: async (path: string, forMs: number) => {
      const until = performance.now() + forMs;
      const ask = async (child: (typeof children)[number]): Promise<readonly PixelsAnswer[]> => {
        const answers: PixelsAnswer[] = [];
        while (performance.now() < until) answers.push(await child.ask(path));
        return answers;
      };
      const answers = (await Promise.all(children.map(ask))).flat();
      return {
        decodeMs: median(answers.map(({ decodeMs }) => decodeMs)) / cores,
        preprocessMs: median(answers.map(({ preprocessMs }) => preprocessMs)) / cores,
      };
    },
    [Symbol.asyncDispose]: async () => {
      await Promise.all(children.map((child) => child[Symbol.asyncDispose]()));
    },
  };
}
