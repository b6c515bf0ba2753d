/** `bun run bench [figure…]`: prints the figures, each beside its own reference from the same run. */
import { join } from "node:path";
import { parseArgs } from "node:util";
import { repositoryRoot } from "../support/source-files.ts";
import { cache } from "./cache.ts";
import { embed } from "./embed.ts";
import { embedMemory } from "./embed-memory.ts";
import { eventLoop } from "./event-loop.ts";
import { fairness } from "./fairness.ts";
import { flameGraph } from "./flame-graph.ts";
import { floatText } from "./float-text.ts";
import { graph } from "./graph.ts";
import { growth } from "./growth.ts";
import { hardware } from "./hardware.ts";
import { idleMemory } from "./idle-memory.ts";
import { largePhotos } from "./large-photos.ts";
import { latency } from "./latency.ts";
import { removeLeftovers } from "./leftovers.ts";
import { livez } from "./livez.ts";
import { describeLibraries, describeMachine, describeRun } from "./machine.ts";
import { memory } from "./memory.ts";
import { overload } from "./overload.ts";
import { peers } from "./peers.ts";
import { preprocess } from "./preprocess.ts";
import { asMarkdown, findingsOf, withFigure } from "./report.ts";
import { search } from "./search.ts";
import { shapes } from "./shapes.ts";
import { shrinkOnLoad } from "./shrink-on-load.ts";
import { soak } from "./soak.ts";
import { start } from "./start.ts";
import { texts } from "./texts.ts";
import { throughput } from "./throughput.ts";
import { uploadMemory } from "./upload-memory.ts";

/** A figure gives its lines as it finds them out: rows of tables begin with `|`. */
type Figure = (options: FigureOptions) => AsyncGenerator<string>;

interface FigureOptions {
  readonly seconds: number;
  readonly minutes: number;
  readonly rounds: number;
  readonly images: number;
  readonly plot: string | undefined;
  readonly only: readonly number[] | undefined;
  /** Folder that takes plots; none unless they are to be written. */
  readonly plotsDir: string | undefined;
}

/** Every figure, in the order in which they run. */
export const figures: ReadonlyMap<string, Figure> = new Map<string, Figure>([
  ["throughput", throughput],
  ["large-photos", largePhotos],
  ["latency", latency],
  ["texts", texts],
  ["fairness", fairness],
  ["hardware", hardware],
  ["shapes", shapes],
  ["preprocess", preprocess],
  ["graph", graph],
  ["shrink-on-load", shrinkOnLoad],
  ["event-loop", eventLoop],
  ["livez", livez],
  ["upload-memory", uploadMemory],
  ["idle-memory", idleMemory],
  ["memory", memory],
  ["float-text", floatText],
  ["cache", cache],
  ["search", search],
  ["embed-memory", embedMemory],
  ["start", start],
  ["embed", embed],
  ["peers", peers],
  ["growth", growth],
  ["flame-graph", flameGraph],
  ["overload", overload],
  ["soak", soak],
]);

/** Those that run only where they are named: they take minutes. */
const longFigures: readonly string[] = [
  "embed",
  "peers",
  "growth",
  "flame-graph",
  "overload",
  "soak",
];

/** Documents that show figures; the summary of the second follows from the first. */
const benchmarks = join(repositoryRoot, "BENCHMARKS.md");
const readme = join(repositoryRoot, "README.md");

interface RunOptions extends FigureOptions {
  readonly write: boolean;
}

async function run(names: readonly string[], options: RunOptions): Promise<number> {
  const unknown = names.filter((name) => !figures.has(name));
  if (unknown.length > 0) {
    process.stderr.write(`unknown figure ${unknown.join(", ")}: there are ${known()}\n`);
    return 2;
  }
  process.stdout.write(`${describeLibraries()}\n${describeMachine()}\n`);
  for (const [name, figure] of figures) {
    if (names.length > 0 ? !names.includes(name) : longFigures.includes(name)) continue;
    process.stdout.write(`\n${name}\n`);
    const circumstances = await describeRun();
    const lines: string[] = [];
    try {
      for await (const line of figure(options)) {
        process.stdout.write(`  ${line}\n`);
        lines.push(line);
      }
    } finally {
      // Also of a figure that throws because something was missed: what is missed is to be read.
      if (options.write) await write(name, `${asMarkdown(lines)}\n\n${circumstances}`);
    }
  }
  return 0;
}

/** Puts a figure into the documents that have a place for it. */
async function write(name: string, text: string): Promise<void> {
  const document = withFigure(await Bun.file(benchmarks).text(), name, text);
  await Bun.write(benchmarks, document);
  const short = await Bun.file(readme).text();
  await Bun.write(readme, withFigure(short, "summary", findingsOf(document)));
}

function known(): string {
  return [...figures.keys()].join(", ");
}

if (import.meta.main) {
  for (const signal of ["SIGINT", "SIGTERM"]) process.on(signal, () => process.exit(130));
  const { values, positionals } = parseArgs({
    allowPositionals: true,
    options: {
      /** Put the figures into BENCHMARKS.md and README.md, and the plots into docs/. */
      write: { type: "boolean", default: false },
      /** Of each load of `overload`. */
      seconds: { type: "string", default: "60" },
      /** Of `soak`. */
      minutes: { type: "string", default: "30" },
      /** Of `embed`, `peers` and `growth`. */
      rounds: { type: "string", default: "5" },
      /** Of `memory`, with the default of workers. */
      images: { type: "string", default: "1000" },
      /** File that takes the plot of `overload`. */
      plot: { type: "string" },
      /** Loads of `overload`, over capacity, such as `1,20`. */
      only: { type: "string" },
    },
  });
  const { write: isWritten, plot, seconds, minutes, rounds, images } = values;
  const only = values.only?.split(",").map(Number);
  const plotsDir = isWritten ? join(repositoryRoot, "docs") : undefined;
  try {
    process.exitCode = await run(positionals, {
      write: isWritten,
      seconds: Number(seconds),
      minutes: Number(minutes),
      rounds: Number(rounds),
      images: Number(images),
      plot,
      only,
      plotsDir,
    });
  } finally {
    await removeLeftovers();
  }
  process.exit();
}
