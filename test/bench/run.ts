/** `bun run bench [figure…]`: prints the figures, each beside its own reference from the same run. */
import { availableParallelism, cpus, loadavg } from "node:os";
import { parseArgs } from "node:util";
import { dependencies, version } from "../../package.json" with { type: "json" };
import { cache } from "./cache.ts";
import { embedMemory } from "./embed-memory.ts";
import { eventLoop } from "./event-loop.ts";
import { idleMemory } from "./idle-memory.ts";
import { latency } from "./latency.ts";
import { livez } from "./livez.ts";
import { memory } from "./memory.ts";
import { overload } from "./overload.ts";
import { preprocess } from "./preprocess.ts";
import { search } from "./search.ts";
import { soak } from "./soak.ts";
import { start } from "./start.ts";
import { throughput } from "./throughput.ts";
import { uploadMemory } from "./upload-memory.ts";

/** A figure gives its lines as it finds them out. */
type Figure = (options: FigureOptions) => AsyncGenerator<string>;

interface FigureOptions {
  readonly seconds: number;
  readonly minutes: number;
  readonly plot: string | undefined;
  readonly only: readonly number[] | undefined;
}

const figures = new Map<string, Figure>([
  ["throughput", throughput],
  ["latency", latency],
  ["preprocess", preprocess],
  ["event-loop", eventLoop],
  ["livez", livez],
  ["upload-memory", uploadMemory],
  ["idle-memory", idleMemory],
  ["memory", memory],
  ["cache", cache],
  ["search", search],
  ["embed-memory", embedMemory],
  ["start", start],
  ["overload", overload],
  ["soak", soak],
]);

/** Those that run only where they are named: they take minutes. */
const longFigures: readonly string[] = ["overload", "soak"];

function describeMachine(): string[] {
  const { elysia, sharp, "onnxruntime-node": onnxruntime } = dependencies;
  return [
    `imagesvc ${version}, bun ${Bun.version}, elysia ${elysia}, onnxruntime-node ${onnxruntime}, sharp ${sharp}`,
    `${cpus()[0]?.model ?? "unknown processor"}, ${availableParallelism()} cores, load before ${loadavg()[0]?.toFixed(2)}`,
  ];
}

async function run(names: readonly string[], options: FigureOptions): Promise<number> {
  const unknown = names.filter((name) => !figures.has(name));
  if (unknown.length > 0) {
    process.stderr.write(`unknown figure ${unknown.join(", ")}: there are ${known()}\n`);
    return 2;
  }
  process.stdout.write(`${describeMachine().join("\n")}\n`);
  for (const [name, figure] of figures) {
    if (names.length > 0 ? !names.includes(name) : longFigures.includes(name)) continue;
    process.stdout.write(`\n${name}\n`);
    for await (const line of figure(options)) process.stdout.write(`  ${line}\n`);
  }
  return 0;
}

function known(): string {
  return [...figures.keys()].join(", ");
}

const { values, positionals } = parseArgs({
  allowPositionals: true,
  options: {
    /** Of each load of `overload`. */
    seconds: { type: "string", default: "60" },
    /** Of `soak`. */
    minutes: { type: "string", default: "30" },
    /** File that takes the plot of `overload`. */
    plot: { type: "string" },
    /** Loads of `overload`, over capacity, such as `1,20`. */
    only: { type: "string" },
  },
});
const { seconds, minutes, plot } = values;
const only = values.only?.split(",").map(Number);
process.exit(
  await run(positionals, { seconds: Number(seconds), minutes: Number(minutes), plot, only }),
);
