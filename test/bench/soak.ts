import { readdir, readFile } from "node:fs/promises";
import { availableParallelism } from "node:os";
import { join } from "node:path";
import { limits } from "../../src/limits.ts";
import { startChild } from "./child.ts";
import type { OpenLoopReport } from "./open-loop.ts";
import type { LoadQuestion } from "./open-loop-child.ts";
import { measureCapacity } from "./overload-run.ts";
import { countDescriptorsAndThreads, processorMs, residentBytes } from "./process-usage.ts";
import { startService } from "./server.ts";
import type { SoakQuestion, SoakReport } from "./soak-child.ts";
import type { ClipCapacity } from "./soak-requests.ts";
import {
  describeSoakRules,
  growthFaults,
  refusalFaults,
  refusedShare,
  type Sample,
} from "./soak-rules.ts";
import { median } from "./statistics.ts";

interface SoakOptions {
  readonly minutes: number;
}

const minuteMs = 60_000;
const sampleMs = 5_000;
/** Until the service has closed the connections that nobody uses. */
const settleMs = (limits.idleTimeoutS + 10) * 1000;
const shareOfCapacity = 0.8;
/** As many texts as a request of the soak has. */
const textsEach = 2;
const downloadsMaxBytes = 50_000_000;

/**
 * Every kind of request for a long time at 0.8 of the capacity, 5 % of them bad, and clients that leave.
 *
 * @throws Error that says what was not as it should be.
 */
export async function* soak({ minutes }: SoakOptions): AsyncGenerator<string> {
  yield* describeSoakRules(minutes);
  await using clients = startChild<SoakQuestion, SoakReport>({
    args: ["test/bench/soak-child.ts"],
  });
  const { nvidiaUrl } = await clients.ask({ kind: "report" });
  await using service = await startService("synthetic", {
    FETCH_ALLOW: "127.0.0.1",
    NVIDIA_API_KEY: "nvapi-fake",
    NVIDIA_BASE_URL: nvidiaUrl,
    DOWNLOADS_MAX_BYTES: String(downloadsMaxBytes),
  });
  const origin = service.url.origin;
  const capacity = await measureCapacities(origin);
  yield `capacity: ${capacity.imagesPerS.toFixed(1)} images/s alone, or ${capacity.textsPerS.toFixed(1)} texts/s alone; ${availableParallelism()} cores, shared with the clients`;
  await Bun.sleep(settleMs);
  const idleBefore = await takeSample(service.pid);
  yield `idle before: ${show(idleBefore)}`;
  const load = { origin, capacity, shareOfCapacity, forMs: minutes * minuteMs };
  const { requestsPerS } = await clients.ask({ kind: "begin", ...load });
  yield `${minutes} min at ${requestsPerS.toFixed(1)} requests/s: the images and texts among them are ${shareOfCapacity} of the capacity, the rest comes on top; medians of each minute`;
  const byMinute: Sample[] = [];
  for (let minute = 1; minute <= minutes; minute += 1) {
    const cores = await watchCores([service.pid, clients.pid]);
    const sample = await watchForAMinute(service.pid);
    byMinute.push(sample);
    const [ofService, ofClients] = await cores.read();
    yield `minute ${minute}: ${show(sample)}; cores: service ${ofService}, clients ${ofClients}; ${told(await clients.ask({ kind: "report" }))}`;
  }
  await Bun.sleep(settleMs);
  const idleAfter = await takeSample(service.pid);
  yield `idle after: ${show(idleAfter)}`;
  const report = await clients.ask({ kind: "report" });
  const faults = [
    ...growthFaults({ idleBefore, byMinute, idleAfter }),
    ...refusalFaults(report.kinds),
    ...Object.entries(report.unexpected).map(([what, count]) => `${count} × ${what}`),
    ...(await folderFaults(service.downloadsDir)),
    ...(await logFaults(service.logPath)),
  ];
  if (faults.length > 0) throw new Error(`the soak broke its rules:\n${faults.join("\n")}`);
  yield "every rule was kept";
}

async function measureCapacities(origin: string): Promise<ClipCapacity> {
  await using generator = startChild<LoadQuestion, OpenLoopReport>({
    args: ["test/bench/open-loop-child.ts", origin],
  });
  const imagesPerS = await measureCapacity(generator, 0);
  return { imagesPerS, textsPerS: textsEach * (await measureCapacity(generator, textsEach)) };
}

/** @returns what gives, in the same order, the cores that each process has kept busy since. */
async function watchCores(pids: readonly number[]) {
  const startedAt = performance.now();
  const before = await Promise.all(pids.map(processorMs));
  return {
    read: async (): Promise<readonly string[]> => {
      const after = await Promise.all(pids.map(processorMs));
      const tookMs = performance.now() - startedAt;
      return after.map((ms, index) => ((ms - (before[index] ?? 0)) / tookMs).toFixed(2));
    },
  };
}

async function watchForAMinute(pid: number): Promise<Sample> {
  const samples: Sample[] = [];
  const until = performance.now() + minuteMs;
  while (performance.now() < until) {
    await Bun.sleep(sampleMs);
    samples.push(await takeSample(pid));
  }
  return {
    residentMb: median(samples.map(({ residentMb }) => residentMb)),
    descriptors: median(samples.map(({ descriptors }) => descriptors)),
    threads: median(samples.map(({ threads }) => threads)),
  };
}

async function takeSample(pid: number): Promise<Sample> {
  const counts = await countDescriptorsAndThreads(pid);
  return { residentMb: (await residentBytes(pid)) / 1e6, ...counts };
}

function show({ residentMb, descriptors, threads }: Sample): string {
  return `resident ${residentMb.toFixed(0)} MB, ${descriptors} descriptors, ${threads} threads`;
}

function told({ answers, kinds, left, unexpected }: SoakReport): string {
  const statuses = Object.entries(answers).map(([status, count]) => `${count} × ${status}`);
  const odd = Object.values(unexpected).reduce((sum, count) => sum + count, 0);
  const refused = (100 * refusedShare(kinds)).toFixed(1);
  return `answered so far ${statuses.join(", ")}; 503 to ${refused} % of the good requests for vectors; left ${left}; unexpected ${odd}`;
}

/** Every file is an image under the digest of its bytes, and nothing else is there. */
async function folderFaults(folder: string): Promise<readonly string[]> {
  const faults: string[] = [];
  for (const name of await readdir(folder)) {
    const digest = /^([0-9a-f]{64})\.jpg$/.exec(name)?.[1];
    if (digest === undefined) faults.push(`left in the downloads folder: ${name}`);
    else if (Bun.SHA256.hash(await readFile(join(folder, name)), "hex") !== digest) {
      faults.push(`not what its name says: ${name}`);
    }
  }
  return faults;
}

async function logFaults(path: string): Promise<readonly string[]> {
  const lines = (await readFile(path, "utf8")).split("\n");
  return lines.filter((line) => line.includes('"level":"error"')).slice(0, 10);
}
