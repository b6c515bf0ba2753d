/**
 * Many clients at once, each of which sends its next image as soon as it has its answer. They run on the server's
 * cores, so they do as little as can be: requests are written to sockets, and answers are not parsed.
 */
import type { Bytes } from "../support/pictures.ts";
import { type Connection, openConnection } from "./open-loop-connection.ts";
import { processorMs } from "./process-usage.ts";
import type { Speed } from "./reference.ts";
import type { Server } from "./server.ts";
import { lumpRate, median } from "./statistics.ts";
import { uploadRequest } from "./upload.ts";

/** Clients of the documented load. */
export const clientCount = 24;
/** A client that is refused comes again after so long: less than `Retry-After` says, so that the queue stays full. */
const refusedPauseMs = 250;

export interface Load extends AsyncDisposable {
  /**
   * Lets the load go on for a while.
   *
   * @throws Error when a request failed.
   */
  observe(forMs: number): Promise<Observed>;
}

export interface Observed extends Speed {
  /** ms of processor time that the clients took for each image, from the same cores. */
  readonly clientMsPerImage: number;
  /** ms by stage of every image, from `Server-Timing`. */
  readonly stagesMs: ReadonlyMap<string, readonly number[]>;
  /** ms from the start of each request to the end of its answer. */
  readonly tookMs: readonly number[];
  /** Requests that were answered with 503. */
  readonly refused: number;
}

/**
 * How long a process is under load before it is measured, with pictures that are new and then with some that it may
 * know. Until then its code is being compiled, once and for all: that of the service's workers by the former, and by
 * the latter, which it answers without inference, so that they are a hundred times as many, that of its main thread.
 * That would take five minutes otherwise, and 0.2 ms an image meanwhile.
 */
export const compileMs = { new: 20_000, known: 5000 } as const;
/** How many pictures are known. */
const knownPhotos = 16;

export interface LoadOptions {
  /** As many as documented unless told. */
  readonly clients?: number;
  /** Until the first lump is through. */
  readonly warmUpMs?: number;
}

/** Starts the clients and waits until the first lump is through. */
export async function startLoad(
  server: Pick<Server, "url" | "pid">,
  nextPhoto: () => Bytes,
  options: LoadOptions = {},
): Promise<Load> {
  const { clients = clientCount, warmUpMs = 1500 } = options;
  const timings: string[] = [];
  const tookMs: number[] = [];
  const endedAt: number[] = [];
  let refused = 0;
  let stopped = false;
  const client = async () => {
    let connection: Connection | undefined;
    while (!stopped) {
      const startedAt = performance.now();
      connection = connection?.isOpen() ? connection : await openConnection(server.url);
      const answer = await connection.exchange(uploadRequest(server.url, nextPhoto()));
      if (answer.status === 503) {
        refused += 1;
        await Bun.sleep(refusedPauseMs);
        continue;
      }
      if (answer.refusal !== undefined) throw new Error(`a server answered ${answer.refusal}`);
      timings.push(answer.serverTiming);
      const now = performance.now();
      tookMs.push(now - startedAt);
      endedAt.push(now);
    }
    connection?.close();
  };
  const all = Promise.all(Array.from({ length: clients }, client));
  const pass = (ms: number) => Promise.race([Bun.sleep(ms), all]);
  await pass(warmUpMs);
  return {
    observe: async (forMs) => {
      [timings.length, tookMs.length, endedAt.length, refused] = [0, 0, 0, 0];
      const startedAt = performance.now();
      const ownUsage = process.cpuUsage();
      const before = await processorMs(server.pid);
      await pass(forMs);
      const usedMs = (await processorMs(server.pid)) - before;
      const { user, system } = process.cpuUsage(ownUsage);
      const windowS = (performance.now() - startedAt) / 1000;
      // Neither the first batch nor the last lies in the window as a whole: its answers are no measure of its work.
      const imagesPerS = lumpRate(endedAt) ?? timings.length / windowS;
      const images = imagesPerS * windowS;
      return {
        imagesPerS,
        processorMsPerImage: usedMs / images,
        clientMsPerImage: (user + system) / 1000 / images,
        stagesMs: stagesOf(timings),
        tookMs: [...tookMs],
        refused,
      };
    },
    [Symbol.asyncDispose]: async () => {
      stopped = true;
      await all;
    },
  };
}

/** Puts a fresh server under load until its code is compiled, which takes a hundredth of the cores meanwhile. */
export async function warmUp(
  server: Pick<Server, "url" | "pid">,
  nextPhoto: () => Bytes,
): Promise<void> {
  await passUnder(server, nextPhoto, compileMs.new);
  const known = Array.from({ length: knownPhotos }, nextPhoto);
  let turn = 0;
  const nextKnown = () => known[turn++ % known.length] ?? nextPhoto();
  await passUnder(server, nextKnown, compileMs.known);
}

async function passUnder(
  server: Pick<Server, "url" | "pid">,
  nextPhoto: () => Bytes,
  warmUpMs: number,
): Promise<void> {
  await using _ = await startLoad(server, nextPhoto, { warmUpMs });
}

/** ms by stage, from the `Server-Timing` of some answers. */
export function stagesOf(timings: readonly string[]): ReadonlyMap<string, readonly number[]> {
  const stages = new Map<string, number[]>();
  for (const timing of timings) {
    for (const [, name = "", ms] of timing.matchAll(/(\w+);dur=([\d.]+)/g)) {
      const sofar = stages.get(name) ?? [];
      sofar.push(Number(ms));
      stages.set(name, sofar);
    }
  }
  return stages;
}

/** Median ms of each stage, in a line. */
export function stageMedians(stages: ReadonlyMap<string, readonly number[]>): string {
  return [...stages].map(([name, ms]) => `${name} ${median(ms).toFixed(1)}`).join(", ");
}
