/** One load on the service, and what was seen under it. */
import type { Child } from "./child.ts";
import type { EventLoopDelay } from "./event-loop-probe.ts";
import { goodput, type OpenLoopReport } from "./open-loop.ts";
import type { LoadQuestion } from "./open-loop-child.ts";
import { processorMs, watchResident } from "./process-usage.ts";
import type { Server } from "./server.ts";

/** What was seen under one load. */
export interface LoadRun extends OpenLoopReport {
  /** Load over capacity. */
  readonly multiple: number;
  readonly delay: EventLoopDelay;
  /** Bytes at the start, at the highest, at the end. */
  readonly resident: readonly [number, number, number];
  /** Cores that the service, and the generator, kept busy. */
  readonly cores: { readonly service: number; readonly generator: number };
}

/** The service, and the process that sends to it. */
export interface LoadParties {
  readonly service: Server;
  readonly generator: Child<LoadQuestion, OpenLoopReport>;
}

/** Enough for full batches. */
const clients = 24;
const warmUpMs = 3000;
const capacityMs = 10_000;

/**
 * Finds out how many requests a second are answered to clients that wait for their answers.
 *
 * @param texts of each request; 0 for one image each.
 */
export async function measureCapacity(
  generator: LoadParties["generator"],
  texts: number,
): Promise<number> {
  const load = { requestsPerS: 0, clients, texts, leadInMs: 0 };
  await generator.ask({ ...load, forMs: warmUpMs });
  return goodput(await generator.ask({ ...load, forMs: capacityMs }));
}

/** Sends by a schedule that does not wait for answers. */
export async function runLoad(
  { service, generator }: LoadParties,
  load: Omit<LoadQuestion, "clients">,
): Promise<Omit<LoadRun, "multiple">> {
  await service.ask("reset");
  const resident = await watchResident(service.pid);
  const pids = [service.pid, generator.pid];
  const before = await Promise.all(pids.map(processorMs));
  const startedAt = performance.now();
  const report = await generator.ask({ ...load, clients: 0 });
  const tookMs = performance.now() - startedAt;
  const after = await Promise.all(pids.map(processorMs));
  const [serviceCores = 0, generatorCores = 0] = after.map(
    (ms, index) => (ms - (before[index] ?? 0)) / tookMs,
  );
  return {
    ...report,
    delay: await service.ask("report"),
    resident: await resident.stop(),
    cores: { service: serviceCores, generator: generatorCores },
  };
}
