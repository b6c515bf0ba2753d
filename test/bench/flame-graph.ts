import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { availableParallelism, tmpdir } from "node:os";
import { join } from "node:path";
import { prepareSynthetic } from "../support/default-model.ts";
import { testModelsDir } from "../support/service.ts";
import { startChild } from "./child.ts";
import { flameGraph as drawFlameGraph } from "./flame-graph-plot.ts";
import { clientCount, startLoad } from "./load.ts";
import type { OperatorsAnswer, OperatorsQuestion } from "./operators-child.ts";
import { onnxruntime, owners, type Part, parsePerfScript, partsOf } from "./perf-samples.ts";
import { createPhotos, photoSize } from "./photo.ts";
import { tableHead, tableRow } from "./report.ts";
import { startService } from "./server.ts";

const seconds = 5;
const samplesPerS = 997;
const batch = 8;
const operatorRuns = 6;

export interface FlameGraphOptions {
  /** Folder that takes the plot; none unless told. */
  readonly plotsDir?: string | undefined;
}

/** Where the processor time of the service goes while every core is busy. */
export async function* flameGraph({ plotsDir }: FlameGraphOptions): AsyncGenerator<string> {
  if (Bun.which("perf") === null) {
    yield "left out: perf is not installed";
    return;
  }
  const operators = await operatorShares();
  const { root, imagesPerS } = await sampleService(operators);
  const cores = root.samples / (samplesPerS * seconds);
  const [all, photo] = [availableParallelism(), `JPEG ${photoSize.width}×${photoSize.height}`];
  yield `${clientCount} clients, ${photo}, ${imagesPerS.toFixed(1)} images/s: ${root.samples} samples in ${seconds} s (perf, ${samplesPerS} a second and thread). The service kept ${cores.toFixed(2)} of ${all} cores busy, the clients had the rest.`;
  yield* tableHead(["whose code", "share of the samples", "ms of processor time an image"]);
  const msOf = (samples: number) => (samples * 1000) / (samplesPerS * seconds * imagesPerS);
  const rowOf = (name: string, samples: number) =>
    tableRow([name, `${((100 * samples) / root.samples).toFixed(1)} %`, msOf(samples).toFixed(2)]);
  for (const [name, samples] of owners(root)) {
    yield rowOf(name, samples);
    if (name !== onnxruntime) continue;
    const products = samples * productShare(operators);
    yield rowOf("– of this, matrix products", products);
    yield rowOf("– of this, all other operators", samples - products);
  }
  yield `onnxruntime's library has no symbols: its boxes are divided as its own profile divides the same graph's time at a batch of ${batch} on one thread: ${shown(operators)}`;
  if (plotsDir !== undefined) {
    const subtitle = `widths: share of processor time; ${clientCount} clients, ${photo}, ${imagesPerS.toFixed(1)} images/s, ${cores.toFixed(2)} of ${all} cores`;
    await writeFile(join(plotsDir, "flame-graph.svg"), drawFlameGraph(root, subtitle));
  }
}

/** Kinds of operators that multiply matrices: Gemm, MatMul, MatMulInteger, FusedMatMul, … */
function productShare(operators: OperatorsAnswer): number {
  return Object.entries(operators)
    .filter(([name]) => /Gemm|MatMul/.test(name))
    .reduce((sum, [, share]) => sum + share, 0);
}

function shown(operators: OperatorsAnswer): string {
  return Object.entries(operators)
    .toSorted(([, a], [, b]) => b - a)
    .filter(([, share]) => share >= 0.005)
    .map(([name, share]) => `${name} ${(100 * share).toFixed(1)} %`)
    .join(", ");
}

async function operatorShares(): Promise<OperatorsAnswer> {
  const { imageTower, packed } = await prepareSynthetic(join(testModelsDir, "synthetic"));
  const tower = packed === undefined ? [imageTower, "plain"] : [packed.imageTower, "packed"];
  await using child = startChild<OperatorsQuestion, OperatorsAnswer>({
    args: ["test/bench/operators-child.ts", ...tower],
  });
  return await child.ask({ batch, runs: operatorRuns });
}

async function sampleService(
  operators: OperatorsAnswer,
): Promise<{ readonly root: Part; readonly imagesPerS: number }> {
  const folder = await mkdtemp(join(tmpdir(), "imagesvc-bench-"));
  try {
    await using service = await startService("synthetic");
    await using load = await startLoad(service, await createPhotos());
    const data = join(folder, "perf.data");
    const frequency = String(samplesPerS);
    const target = ["-g", "-p", String(service.pid), "-o", data, "--", "sleep", String(seconds)];
    const [{ imagesPerS }] = await Promise.all([
      load.observe(seconds * 1000),
      runPerf(["record", "-q", "-e", "cpu-clock", "-F", frequency, ...target]),
    ]);
    const script = await runPerf(["script", "-i", data, "-F", "comm,tid,ip,sym,dso"]);
    return { root: partsOf(parsePerfScript(script), service.pid, operators), imagesPerS };
  } finally {
    await rm(folder, { recursive: true, force: true });
  }
}

/** @throws Error with what perf said when it failed. */
async function runPerf(args: readonly string[]): Promise<string> {
  const child = Bun.spawn(["perf", ...args], { stdout: "pipe", stderr: "pipe" });
  const [output, said, code] = await Promise.all([
    child.stdout.text(),
    child.stderr.text(),
    child.exited,
  ]);
  if (code !== 0) throw new Error(`perf ${args[0]} ended with ${code}: ${said}`);
  return output;
}
