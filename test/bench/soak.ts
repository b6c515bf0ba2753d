import { readdir, readFile } from "node:fs/promises";
import { join } from "node:path";
import { limits } from "../../src/limits.ts";
import { startChild } from "./child.ts";
import { goodput, type OpenLoopReport } from "./open-loop.ts";
import type { LoadQuestion } from "./open-loop-child.ts";
import { countDescriptorsAndThreads, residentBytes } from "./process-usage.ts";
import { startService } from "./server.ts";
import type { SoakQuestion, SoakReport } from "./soak-child.ts";
import { median } from "./statistics.ts";

interface SoakOptions {
  readonly minutes: number;
}

/** What the service holds at one moment. */
interface Sample {
  readonly residentMb: number;
  readonly descriptors: number;
  readonly threads: number;
}

const minuteMs = 60_000;
const sampleMs = 5_000;
/** Until the service has closed the connections that nobody uses. */
const settleMs = (limits.idleTimeoutS + 10) * 1000;
const shareOfCapacity = 0.8;
/** Minutes until everything that grows once has grown. */
const warmUpMinutes = 5;
const allowedGrowth = 0.05;
/** Of the descriptors some stay with what has come into being meanwhile, of the threads some come and go. */
const allowedMore = { descriptors: 8, threads: 3 };
const downloadsMaxBytes = 50_000_000;

/**
 * Every kind of request for a long time at 0.8 of the capacity, 5 % of them bad, and clients that leave.
 *
 * @throws Error that says what was not as it should be.
 */
export async function* soak({ minutes }: SoakOptions): AsyncGenerator<string> {
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
  const capacity = await measureCapacity(origin);
  const requestsPerS = shareOfCapacity * capacity;
  yield `${minutes} min at ${requestsPerS.toFixed(1)} requests/s, ${shareOfCapacity} of ${capacity.toFixed(1)} images/s; medians of each minute`;
  await Bun.sleep(settleMs);
  const idleBefore = await takeSample(service.pid);
  yield `idle before: ${show(idleBefore)}`;
  await clients.ask({ kind: "begin", origin, requestsPerS, forMs: minutes * minuteMs });
  const byMinute: Sample[] = [];
  for (let minute = 1; minute <= minutes; minute += 1) {
    const sample = await watchForAMinute(service.pid);
    byMinute.push(sample);
    yield `minute ${minute}: ${show(sample)}; ${told(await clients.ask({ kind: "report" }))}`;
  }
  await Bun.sleep(settleMs);
  const idleAfter = await takeSample(service.pid);
  yield `idle after: ${show(idleAfter)}`;
  const report = await clients.ask({ kind: "report" });
  const faults = [
    ...growthFaults(byMinute),
    ...descriptorFaults(idleBefore, idleAfter),
    ...Object.entries(report.unexpected).map(([what, count]) => `${count} × ${what}`),
    ...(await folderFaults(service.downloadsDir)),
    ...(await logFaults(service.logPath)),
  ];
  if (faults.length > 0) throw new Error(`the soak went wrong:\n${faults.join("\n")}`);
  yield "memory, descriptors and threads are flat, every answer was expected, and every kept image is whole";
}

async function measureCapacity(origin: string): Promise<number> {
  await using generator = startChild<LoadQuestion, OpenLoopReport>({
    args: ["test/bench/open-loop-child.ts", origin],
  });
  const load = { requestsPerS: 0, clients: 24 };
  await generator.ask({ ...load, forMs: 3000 });
  return goodput(await generator.ask({ ...load, forMs: 10_000 }));
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

function told({ answers, left, unexpected }: SoakReport): string {
  const statuses = Object.entries(answers).map(([status, count]) => `${count} × ${status}`);
  const odd = Object.values(unexpected).reduce((sum, count) => sum + count, 0);
  return `answered so far ${statuses.join(", ")}; left ${left}; unexpected ${odd}`;
}

/** Compares the last minute with the first one after the warm-up; a short run has a short warm-up. */
function* growthFaults(byMinute: readonly Sample[]): Generator<string> {
  const before = byMinute[Math.min(warmUpMinutes, byMinute.length >> 1)];
  const after = byMinute.at(-1);
  if (before === undefined || after === undefined) throw new Error("the soak was too short");
  const growth = after.residentMb / before.residentMb - 1;
  if (growth > allowedGrowth) {
    yield `memory grew by ${(growth * 100).toFixed(1)} %: ${show(before)}, then ${show(after)}`;
  }
  if (after.threads - before.threads > allowedMore.threads) {
    yield `threads grew from ${before.threads} to ${after.threads}`;
  }
}

/** Compares moments without load: under load connections come and go. */
function* descriptorFaults(before: Sample, after: Sample): Generator<string> {
  if (after.descriptors - before.descriptors <= allowedMore.descriptors) return;
  yield `descriptors grew from ${before.descriptors} to ${after.descriptors}`;
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
