/** Many clients at once, each of which sends its next image as soon as it has its answer. */
import type { Bytes } from "../support/pictures.ts";
import { processorMs } from "./process-usage.ts";
import type { Speed } from "./reference.ts";
import type { Server } from "./server.ts";
import { mustSucceed, upload } from "./upload.ts";

/** Clients of the documented load. */
export const clientCount = 24;
const warmUpMs = 1500;

export interface Load extends AsyncDisposable {
  /**
   * Lets the load go on for a while.
   *
   * @throws Error when a request failed.
   */
  observe(forMs: number): Promise<Observed>;
}

export interface Observed extends Speed {
  /** ms by stage of every image, from `Server-Timing`. */
  readonly stagesMs: ReadonlyMap<string, readonly number[]>;
}

/** Starts the clients and waits until the first lump is through. */
export async function startLoad(service: Server, nextPhoto: () => Bytes): Promise<Load> {
  const answers: Response[] = [];
  let stopped = false;
  const client = async () => {
    while (!stopped) answers.push(await mustSucceed(upload(service.url, nextPhoto())));
  };
  const clients = Promise.all(Array.from({ length: clientCount }, client));
  const pass = (ms: number) => Promise.race([Bun.sleep(ms), clients]);
  await pass(warmUpMs);
  return {
    observe: async (forMs) => {
      answers.length = 0;
      const startedAt = performance.now();
      const before = await processorMs(service.pid);
      await pass(forMs);
      return {
        imagesPerS: (answers.length * 1000) / (performance.now() - startedAt),
        processorMsPerImage: ((await processorMs(service.pid)) - before) / answers.length,
        stagesMs: stagesOf(answers),
      };
    },
    [Symbol.asyncDispose]: async () => {
      stopped = true;
      await clients;
    },
  };
}

/** ms by stage, from the `Server-Timing` of some answers. */
export function stagesOf(answers: readonly Response[]): ReadonlyMap<string, readonly number[]> {
  const stages = new Map<string, number[]>();
  for (const { headers } of answers) {
    const timing = headers.get("server-timing") ?? "";
    for (const [, name = "", ms] of timing.matchAll(/(\w+);dur=([\d.]+)/g)) {
      const sofar = stages.get(name) ?? [];
      sofar.push(Number(ms));
      stages.set(name, sofar);
    }
  }
  return stages;
}
