import { writeFile } from "node:fs/promises";
import { availableParallelism, getPriority, setPriority } from "node:os";
import { basename, join } from "node:path";
import { startChild } from "./child.ts";
import { overloadPlot } from "./overload-plot.ts";
import { type LoadParties, type LoadRun, measureCapacity, runLoad } from "./overload-run.ts";
import { overloadTableHead, overloadTableRow } from "./overload-table.ts";
import { judgeOverload, type Verdict } from "./overload-verdict.ts";
import { startService } from "./server.ts";

export interface OverloadOptions {
  /** For how long what is embedded is counted under each load of images, after a lead-in. */
  readonly seconds: number;
  /** File that takes the plot; `overload.svg` where there is a folder for plots, else none. */
  readonly plot?: string | undefined;
  readonly plotsDir?: string | undefined;
  /** Of the loads over capacity, those that are run; all unless told. 1 is always among them. */
  readonly only?: readonly number[] | undefined;
}

/** What one table is made from. */
interface Loads {
  readonly name: string;
  /** Of each request; 0 for one image each. */
  readonly texts: number;
  readonly multiples: readonly number[];
  readonly seconds: number;
}

interface Judged {
  readonly runs: readonly LoadRun[];
  readonly verdicts: readonly Verdict[];
}

const textsEach = 12;
const textSeconds = 20;
/** Callers take turns, so under a heavy load of texts nobody has all of its vectors for seconds. */
const leadInSeconds = 10;
const pauseMs = 2000;

/**
 * How the service does under more load than it can bear, sent by a schedule that does not wait for answers.
 *
 * @throws Error that says what was missed.
 */
export async function* overload(options: OverloadOptions): AsyncGenerator<string> {
  const { seconds, plotsDir, only } = options;
  const plot = options.plot ?? (plotsDir && join(plotsDir, "overload.svg"));
  const chosen = (multiples: readonly number[]) =>
    multiples.filter((multiple) => multiple === 1 || (only?.includes(multiple) ?? true));
  await using service = await startService("synthetic");
  await using generator = startClients(service.url);
  const parties = { service, generator };
  yield `the clients are a process of their own at nice ${getPriority(generator.pid)}, on the same ${availableParallelism()} cores as the service: what they use, it does not get`;
  yield "ms from the scheduled time, as the client sees it, but where it says otherwise: p50 / p99 / longest";
  const images = yield* measure(parties, {
    name: "images, one a request",
    texts: 0,
    multiples: chosen([1, 2, 5, 20]),
    seconds,
  });
  const texts = yield* measure(parties, {
    name: `texts, ${textsEach} a request; what is counted are requests`,
    texts: textsEach,
    multiples: chosen([1, 5]),
    seconds: Math.min(seconds, textSeconds),
  });
  if (plot !== undefined) {
    await writeFile(plot, overloadPlot(images.runs));
    yield `the plot, of images, is in ${basename(plot)}`;
  }
  const missed = [...images.verdicts, ...texts.verdicts].filter(({ isMet }) => !isMet);
  if (missed.length > 0) {
    throw new Error(`overload missed:\n${missed.map(({ text }) => text).join("\n")}`);
  }
}

/**
 * Starts the clients. They stand for other machines, so the kernel is asked not to let them wait behind the
 * service's threads; where it refuses, `sent late` tells what that adds.
 */
function startClients(url: URL): LoadParties["generator"] {
  const generator: LoadParties["generator"] = startChild({
    args: ["test/bench/open-loop-child.ts", url.origin],
  });
  try {
    setPriority(generator.pid, -10);
  } catch {
    // not root: the generator shares the cores as any process does
  }
  return generator;
}

/** Prints one table with its verdicts. */
async function* measure(
  parties: LoadParties,
  { name, texts, multiples, seconds }: Loads,
): AsyncGenerator<string, Judged> {
  const leadIn = Math.min(leadInSeconds, seconds);
  const capacity = await measureCapacity(parties.generator, texts);
  yield `${name}: capacity ${capacity.toFixed(1)}/s to clients that wait for their answers; then each load for ${seconds} s, after ${leadIn} s of it that do not count as embedded/s`;
  yield* overloadTableHead;
  const runAt = async (multiple: number): Promise<LoadRun> => {
    const times = { forMs: (leadIn + seconds) * 1000, leadInMs: leadIn * 1000 };
    const load = { requestsPerS: capacity * multiple, texts, ...times };
    return { multiple, ...(await runLoad(parties, load)) };
  };
  const first = await runAt(1);
  yield overloadTableRow(first, first);
  const others: LoadRun[] = [];
  for (const multiple of multiples.filter((one) => one !== 1)) {
    await Bun.sleep(pauseMs);
    const run = await runAt(multiple);
    others.push(run);
    yield overloadTableRow(run, first);
  }
  const verdicts = judgeOverload([first, ...others]);
  for (const { isMet, text } of verdicts) yield `${isMet ? "met" : "MISSED"}: ${text}`;
  return { runs: [first, ...others], verdicts };
}
