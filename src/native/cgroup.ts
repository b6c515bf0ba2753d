/** Limits that a control group sets: a container's, or those of a systemd unit. */
import { readFileSync } from "node:fs";

/** Text of a file of the host, such as one under `/proc`; undefined where it cannot be read. */
export type ReadText = (path: string) => string | undefined;

/** Reads the real one. */
export function readHostText(path: string): string | undefined {
  try {
    return readFileSync(path, "utf8");
  } catch {
    return undefined;
  }
}

/**
 * Cores that this process may keep busy: those that it may run on (affinity, cpusets), or fewer where a control
 * group grants it less time. A broken one is left to the main thread and the kernel, because a thread that
 * exceeds the quota is stopped, with all others of the process, until the next tenth of a second.
 *
 * @param parallelism cores that it may run on, of `os.availableParallelism`.
 * @returns 1 at least.
 */
export function usableCores(read: ReadText, parallelism: number): number {
  return Math.max(1, Math.min(parallelism, Math.floor(coresQuota(read) ?? parallelism)));
}

/**
 * Least memory limit of this process's group and of those above it, in bytes; undefined without any.
 *
 * @see https://docs.kernel.org/admin-guide/cgroup-v2.html and …/cgroup-v1/memory.html
 */
export function memoryLimitBytes(read: ReadText): number | undefined {
  const limits = groupFolders(read, "memory").flatMap((folder) => [
    numberIn(read(`${folder}/memory.max`)),
    numberIn(read(`${folder}/memory.limit_in_bytes`)),
  ]);
  return least(limits);
}

/** Least number of cores that the groups grant in time, such as 1.5; undefined without a quota. */
export function coresQuota(read: ReadText): number | undefined {
  const quotas = groupFolders(read, "cpu").flatMap((folder) => {
    const [quota, period] = (read(`${folder}/cpu.max`) ?? "").split(" ").map(numberIn);
    return [
      ratio(quota, period),
      ratio(
        numberIn(read(`${folder}/cpu.cfs_quota_us`)),
        numberIn(read(`${folder}/cpu.cfs_period_us`)),
      ),
    ];
  });
  return least(quotas);
}

/** Folders of the group and of those above it, in either version's tree. */
function groupFolders(read: ReadText, controller: string): string[] {
  const lines = (read("/proc/self/cgroup") ?? "").split("\n");
  return lines.flatMap((line) => {
    // Of hierarchy, controllers and path; the path may have colons too.
    const [, controllers, ...rest] = line.split(":");
    const path = rest.join(":");
    if (controllers === "") return ancestors(path).map((one) => `/sys/fs/cgroup${one}`);
    if (controllers?.split(",").includes(controller) !== true) return [];
    return ancestors(path).map((one) => `/sys/fs/cgroup/${controller}${one}`);
  });
}

/** `/a/b` is itself, `/a`, and nothing. */
function ancestors(path: string): string[] {
  const names = path.split("/").filter((name) => name !== "");
  return [...names.keys(), names.length].map((count) =>
    names
      .slice(0, count)
      .map((name) => `/${name}`)
      .join(""),
  );
}

/** `max` and a negative quota are no limits. */
function numberIn(text: string | undefined): number | undefined {
  return text !== undefined && /^\d+$/.test(text.trim()) ? Number(text) : undefined;
}

function ratio(quota: number | undefined, period: number | undefined): number | undefined {
  return quota === undefined || period === undefined || period === 0 ? undefined : quota / period;
}

function least(values: readonly (number | undefined)[]): number | undefined {
  const known = values.filter((value) => value !== undefined);
  return known.length === 0 ? undefined : Math.min(...known);
}
