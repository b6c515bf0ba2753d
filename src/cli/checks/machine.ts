/** Processor, memory and what else the machine gives this process. */
import { coresQuota, memoryLimitBytes, type ReadText } from "../../native/cgroup.ts";
import { type Check, fail, ok, warn } from "./check.ts";

const MIB = 1024 * 1024;
/** Measured: what one worker takes beside the mapped weights, and the rest of the process. */
const workerBytes = 350 * MIB;
const processBytes = 300 * MIB;
/** Connections, kept files and native libraries of a busy service. */
const minDescriptors = 4096;

/**
 * @param features such as `avx2`, as `/proc/cpuinfo` spells them.
 * @param architecture as Node names it: `x64`, `arm64`.
 */
export function processorCheck(
  cpuFeatures: () => Promise<readonly string[]>,
  architecture: string,
): Check {
  return {
    name: "processor",
    run: async () => {
      const features = await cpuFeatures();
      const found = features.length === 0 ? "no known feature" : features.join(", ");
      if (architecture !== "x64" || features.includes("avx2")) {
        return ok(`${architecture}: ${found}`);
      }
      const mend = "choose a host with AVX2, best with AVX-512 VNNI or AMX";
      return warn(
        `${architecture} without AVX2 (${found}): inference is several times slower`,
        mend,
      );
    },
  };
}

/**
 * @param cores that are kept busy, of `usableCores`.
 * @param workers threads that infer.
 */
export function coresCheck(read: ReadText, cores: number, workers: number): Check {
  return {
    name: "cores",
    run: () => {
      const quota = coresQuota(read);
      const found = `${cores}, for ${workers} ${workers === 1 ? "worker" : "workers"}`;
      if (quota === undefined || quota >= cores + 1) return ok(found);
      const granted = `${found}: the control group grants the time of ${quota}`;
      return quota >= 1 ? ok(granted) : warn(granted, "raise the quota (CPUQuota=, --cpus)");
    },
  };
}

export function memoryCheck(read: ReadText, workers: number): Check {
  const need = workers * workerBytes + processBytes;
  return {
    name: "memory",
    run: () => {
      const meminfo = read("/proc/meminfo") ?? "";
      const total = kibibytesIn(meminfo, "MemTotal") ?? Number.POSITIVE_INFINITY;
      const available = kibibytesIn(meminfo, "MemAvailable");
      const limit = Math.min(total, memoryLimitBytes(read) ?? total);
      const wanted = `${mib(need)} wanted for ${workers} ${workers === 1 ? "worker" : "workers"}`;
      if (limit < need) {
        const mend = "raise the limit (MemoryMax=, --memory), or set fewer WORKERS";
        return fail(`at most ${mib(limit)}, ${wanted}`, mend);
      }
      if (available === undefined) return ok(wanted);
      const found = `${mib(available)} available, ${wanted}`;
      return available < need
        ? warn(found, "end what else runs here, or set fewer WORKERS")
        : ok(found);
    },
  };
}

export function descriptorsCheck(read: ReadText): Check {
  return {
    name: "open files",
    run: () => {
      const limits = read("/proc/self/limits") ?? "";
      const [, soft] = /^Max open files +(\d+|unlimited)/m.exec(limits) ?? [];
      if (soft === undefined) return warn("the limit is unknown", "mount /proc");
      return soft === "unlimited" || Number(soft) >= minDescriptors
        ? ok(`at most ${soft}`)
        : warn(
            `at most ${soft}: many connections at once may fail`,
            `raise the limit to ${minDescriptors} or more (LimitNOFILE=, ulimit -n)`,
          );
    },
  };
}

/** Bun and the native libraries look into it. */
export function procCheck(read: ReadText): Check {
  return {
    name: "/proc",
    run: () =>
      read("/proc/self/maps")
        ? ok("mounted")
        : fail("/proc is not mounted, or hidden", "mount it: mount -t proc proc /proc"),
  };
}

function kibibytesIn(meminfo: string, name: string): number | undefined {
  const [, amount] = new RegExp(`^${name}: +(\\d+) kB$`, "m").exec(meminfo) ?? [];
  return amount === undefined ? undefined : Number(amount) * 1024;
}

function mib(bytes: number): string {
  return `${Math.floor(bytes / MIB)} MiB`;
}
