/** What a process uses of the machine, as Linux counts it (proc(5)). */
import { readdir, readFile, writeFile } from "node:fs/promises";

const KIB = 1024;
/** `USER_HZ` is 100 on every architecture that Bun runs on. */
const msPerTick = 10;
const residentPollMs = 250;

/** Bytes of a process. */
export interface ProcessMemory {
  /** Resident: its own memory and the mapped files that it has touched. */
  readonly resident: number;
  /** Resident, with what is shared divided among those who share it. */
  readonly proportional: number;
  /** Its own memory alone, without mapped files. */
  readonly anonymous: number;
}

/** @throws Error when the process is gone or belongs to somebody else. */
export async function processMemory(pid: number): Promise<ProcessMemory> {
  const rollup = await readFile(`/proc/${pid}/smaps_rollup`, "utf8");
  return {
    resident: bytesOf(rollup, "Rss"),
    proportional: bytesOf(rollup, "Pss"),
    anonymous: bytesOf(rollup, "Anonymous"),
  };
}

/**
 * Resident bytes of a process, of which each part of the weights counts once, however often it is mapped here, and as
 * a whole, however many other processes map it.
 *
 * @throws Error when the process is gone or belongs to somebody else.
 */
export async function residentOnce(pid: number): Promise<number> {
  const parts = new Map<string, number>();
  let part = "";
  for (const line of (await readFile(`/proc/${pid}/smaps`, "utf8")).split("\n")) {
    const mapping = /^([0-9a-f]+)-[0-9a-f]+ \S+ (\S+ \S+) (\d+)/.exec(line);
    const [, address = "", place = "", inode = ""] = mapping ?? [];
    if (mapping !== null) part = line.endsWith(".onnx.data") ? `${place} ${inode}` : address;
    else if (line.startsWith("Rss:")) {
      parts.set(part, Math.max(parts.get(part) ?? 0, bytesOf(line, "Rss")));
    }
  }
  return parts.values().reduce((sum, bytes) => sum + bytes, 0);
}

/** What a process has open and at work. @throws Error when it is gone. */
export async function countDescriptorsAndThreads(
  pid: number,
): Promise<{ readonly descriptors: number; readonly threads: number }> {
  const [descriptors, threads] = await Promise.all(
    ["fd", "task"].map(async (kind) => (await readdir(`/proc/${pid}/${kind}`)).length),
  );
  return { descriptors: descriptors ?? 0, threads: threads ?? 0 };
}

/**
 * By how many bytes the resident memory exceeds, at its highest, what it was before.
 *
 * @param work whatever makes the process work; measured until it is done.
 * @throws Error when the process is gone or belongs to somebody else.
 */
export async function peakGrowth(pid: number, work: () => Promise<unknown>): Promise<number> {
  // Sets the high-water mark back to what is resident now (proc_pid_clear_refs(5)).
  await writeFile(`/proc/${pid}/clear_refs`, "5");
  const before = await highWaterMark(pid);
  await work();
  return (await highWaterMark(pid)) - before;
}

/**
 * ms of processor time that all threads of a process have used so far.
 *
 * @throws Error when the process is gone.
 */
export async function processorMs(pid: number): Promise<number> {
  const stat = await readFile(`/proc/${pid}/stat`, "utf8");
  // The name, in brackets, may hold spaces: the fields after it are counted from 3.
  const fields = stat.slice(stat.lastIndexOf(")") + 2).split(" ");
  return (Number(fields[14 - 3]) + Number(fields[15 - 3])) * msPerTick;
}

/**
 * Resident bytes, the cheap way: `smaps_rollup` walks every page.
 *
 * @throws Error when the process is gone.
 */
export async function residentBytes(pid: number): Promise<number> {
  return bytesOf(await readFile(`/proc/${pid}/status`, "utf8"), "VmRSS");
}

/**
 * Watches the resident bytes of a process.
 *
 * @returns their end: the first, the highest and the last.
 */
export async function watchResident(pid: number) {
  const first = await residentBytes(pid);
  let highest = first;
  const look = async () => {
    const now = await residentBytes(pid);
    highest = Math.max(highest, now);
    return now;
  };
  const timer = setInterval(() => void look().catch(() => {}), residentPollMs);
  return {
    stop: async (): Promise<readonly [number, number, number]> => {
      clearInterval(timer);
      const last = await look();
      return [first, highest, last];
    },
  };
}

async function highWaterMark(pid: number): Promise<number> {
  return bytesOf(await readFile(`/proc/${pid}/status`, "utf8"), "VmHWM");
}

/** A line such as `VmHWM:     1234 kB`, in bytes. */
function bytesOf(text: string, name: string): number {
  const kibibytes = new RegExp(`^${name}:\\s+(\\d+) kB$`, "m").exec(text)?.[1];
  if (kibibytes === undefined) throw new Error(`the kernel does not tell ${name}`);
  return Number(kibibytes) * KIB;
}
