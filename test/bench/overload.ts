import { writeFile } from "node:fs/promises";
import { setPriority } from "node:os";
import { settings } from "../../src/config.ts";
import { type Child, startChild } from "./child.ts";
import type { EventLoopDelay } from "./event-loop-probe.ts";
import { goodput, type OpenLoopReport } from "./open-loop.ts";
import type { LoadQuestion } from "./open-loop-child.ts";
import { type LoadRun, overloadPlot } from "./overload-plot.ts";
import { processorMs, watchResident } from "./process-usage.ts";
import { type Server, startService } from "./server.ts";
import { percentile } from "./statistics.ts";

export interface OverloadOptions {
  /** How long each load lasts. */
  readonly seconds: number;
  /** File that takes the plot; none unless told. */
  readonly plot?: string | undefined;
}

type Clients = Child<LoadQuestion, OpenLoopReport>;

/** What was seen under one load. */
interface OverloadRun extends LoadRun {
  readonly delay: EventLoopDelay;
  /** Bytes at the start, at the highest, at the end. */
  readonly resident: readonly [number, number, number];
  /** Cores that the service, and the generator, kept busy. */
  readonly cores: { readonly service: number; readonly generator: number };
}

const multiples = [1, 2, 5, 20];
/** Clients that find out the capacity: enough for full batches. */
const clients = 24;
const warmUpMs = 3000;
const capacityMs = 10_000;
const pauseMs = 2000;
const wantedGoodput = 0.9;
const wantedRefusalMs = 50;
const deadlineMs = settings.REQUEST_TIMEOUT_MS.fallback;

/** How the service does under more load than it can bear, sent by a schedule that does not wait for answers. */
export async function* overload({ seconds, plot }: OverloadOptions): AsyncGenerator<string> {
  await using service = await startService("synthetic");
  await using generator = startClients(service.url);
  const closed = { requestsPerS: 0, clients };
  await generator.ask({ ...closed, forMs: warmUpMs });
  const capacity = goodput(await generator.ask({ ...closed, forMs: capacityMs }));
  yield `capacity: ${capacity.toFixed(1)} images/s to ${clients} clients that wait for their answers; then ${seconds} s of each load`;
  yield `ms from the scheduled time, as the client sees it, but where it says otherwise: p50 / p99 / longest`;
  const runs: OverloadRun[] = [];
  for (const row of tableHead) yield row;
  for (const multiple of multiples) {
    const run = await runAt({ service, generator }, multiple, capacity, seconds * 1000);
    runs.push(run);
    yield tableRow(run, runs[0] ?? run);
    await Bun.sleep(pauseMs);
  }
  for (const line of verdict(runs)) yield line;
  if (plot === undefined) return;
  await writeFile(plot, overloadPlot(runs));
  yield `the plot is in ${plot}`;
}

/**
 * Starts the clients. They stand for other machines, so the kernel is asked not to let them wait behind the
 * service's threads; where it refuses, `sent late` tells what that adds.
 */
function startClients(url: URL): Clients {
  const generator: Clients = startChild({ args: ["test/bench/open-loop-child.ts", url.origin] });
  try {
    setPriority(generator.pid, -10);
  } catch {
    // not root: the generator shares the cores as any process does
  }
  return generator;
}

async function runAt(
  { service, generator }: { readonly service: Server; readonly generator: Clients },
  multiple: number,
  capacity: number,
  forMs: number,
): Promise<OverloadRun> {
  await service.ask("reset");
  const resident = await watchResident(service.pid);
  const pids = [service.pid, generator.pid];
  const before = await Promise.all(pids.map(processorMs));
  const startedAt = performance.now();
  const report = await generator.ask({ requestsPerS: capacity * multiple, clients: 0, forMs });
  const tookMs = performance.now() - startedAt;
  const after = await Promise.all(pids.map(processorMs));
  const [serviceCores = 0, generatorCores = 0] = after.map(
    (ms, index) => (ms - (before[index] ?? 0)) / tookMs,
  );
  return {
    ...report,
    multiple,
    delay: await service.ask("report"),
    resident: await resident.stop(),
    cores: { service: serviceCores, generator: generatorCores },
  };
}

const tableHead = [
  "| load | offered/s | embedded/s | of that at 1× | embedded, ms | refused | refused, ms | refused, ms by the service's clock | sent late, ms | resident, MB: start, highest, end | event loop late, ms | cores: service, clients | errors |",
  "|---|---|---|---|---|---|---|---|---|---|---|---|---|",
];

function tableRow(run: OverloadRun, first: OverloadRun): string {
  const { delay, cores, resident } = run;
  const cells = [
    `${run.multiple}×`,
    ((run.offered * 1000) / run.forMs).toFixed(1),
    goodput(run).toFixed(1),
    (goodput(run) / goodput(first)).toFixed(2),
    tail(run.acceptedMs, 0),
    String(run.refusedMs.length),
    tail(run.refusedMs, 1),
    tail(run.refusedServerMs, 1),
    tail(run.lateMs, 1),
    resident.map((bytes) => (bytes / 1e6).toFixed(0)).join(", "),
    [delay.p50, delay.p99, delay.longest].map((ms) => ms.toFixed(1)).join(" / "),
    `${cores.service.toFixed(2)}, ${cores.generator.toFixed(2)}`,
    Object.entries(run.errors)
      .map(([what, count]) => `${count} × ${what}`)
      .join("; ") || "none",
  ];
  return `| ${cells.join(" | ")} |`;
}

function tail(values: readonly number[], digits: number): string {
  if (values.length === 0) return "–";
  return [50, 99, 100].map((percent) => percentile(values, percent).toFixed(digits)).join(" / ");
}

/** What is wanted, and whether it was so. */
function* verdict(runs: readonly OverloadRun[]): Generator<string> {
  const [first] = runs;
  const last = runs.at(-1);
  if (first === undefined || last === undefined) return;
  const kept = goodput(last) / goodput(first);
  const perCore = kept * (first.cores.service / last.cores.service);
  yield `embedded at ${last.multiple}× over 1×: ${kept.toFixed(2)} (for each core that the service got: ${perCore.toFixed(2)}); wanted: at least ${wantedGoodput}`;
  const slowest = Math.max(...runs.map(({ acceptedMs }) => percentile(acceptedMs, 99)));
  yield `p99 of what was embedded: ${slowest.toFixed(0)} ms at most; wanted: under its deadline of ${deadlineMs}`;
  const longestOf = (of: (run: OverloadRun) => readonly number[]) =>
    Math.max(0, ...runs.map((run) => of(run).reduce((a, b) => Math.max(a, b), 0))).toFixed(1);
  yield `longest refusal: ${longestOf((run) => run.refusedMs)} ms, by the service's clock ${longestOf((run) => run.refusedServerMs)}; wanted: every one within ${wantedRefusalMs}`;
  const [start] = first.resident;
  const [, , end] = last.resident;
  yield `resident at the end over the start: ${(end / start).toFixed(3)}; wanted: flat`;
  const failed = runs.flatMap(({ errors }) => Object.values(errors)).reduce((a, b) => a + b, 0);
  yield `errors: ${failed}; wanted: none`;
}
