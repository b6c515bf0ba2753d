/** What is read when somebody asks: how full the service is, how its models are, what the process takes. */
import type { Metric } from "prom-client";
import Counter from "prom-client/lib/counter.js";
import Gauge from "prom-client/lib/gauge.js";
import { cpuSeconds, maxDescriptors, openDescriptors, residentBytes } from "./process-figures.ts";

/** What the parts of a service can be asked at any time, each at the cost of microseconds. */
export interface Readings {
  /** Versions of what is inside, and what runs. */
  readonly build: () => Promise<
    Readonly<Record<"version" | "commit" | "bun" | "onnxruntime", string>>
  >;
  /** Whether requests are taken and at least one model serves. */
  readonly isReady: () => boolean;
  readonly models: () => readonly { readonly id: string; readonly state: string }[];
  readonly requests: () => {
    readonly arriving: number;
    readonly inside: number;
    readonly heldBytes: number;
  };
  readonly limits: { readonly inside: number; readonly heldBytes: number };
  /** Jobs that wait for a worker. */
  readonly waiting: () => number;
  readonly workers: () => { readonly total: number; readonly busy: number };
  /** Undefined where no vectors are kept. */
  readonly cache: { readonly bytes: () => number; readonly maxBytes: number } | undefined;
  /** Bytes that are free on the disk of each folder; undefined where it is not there. */
  readonly freeBytes: () => Readonly<Record<string, number | undefined>>;
  /** Since the process began. */
  readonly droppedLogLines: () => number;
}

const states = ["ready", "loading", "unavailable"];

/** Makes the series, in no registry. */
export function createReadSeries(readings: Readings): readonly Metric[] {
  return [...ofService(readings), ...ofLoad(readings), ...ofProcess(readings)];
}

function ofService({ build, isReady, models }: Readings): Metric[] {
  return [
    new Gauge({
      name: "imagesvc_build_info",
      help: "1; the labels say what is inside.",
      labelNames: ["version", "commit", "bun", "onnxruntime"],
      registers: [],
      async collect() {
        const { version, commit, bun, onnxruntime } = await build();
        this.set({ version, commit, bun, onnxruntime }, 1);
      },
    }),
    gauge(
      "imagesvc_ready",
      "1 while requests are taken and at least one model serves, as /readyz says.",
      () => (isReady() ? 1 : 0),
    ),
    new Gauge({
      name: "imagesvc_model_state",
      help: "1 for the state of each model (ready, loading or unavailable), 0 for the other two.",
      labelNames: ["model", "state"],
      registers: [],
      collect() {
        for (const { id: model, state: current } of models()) {
          for (const state of states) this.set({ model, state }, state === current ? 1 : 0);
        }
      },
    }),
  ];
}

function ofLoad(readings: Readings): Metric[] {
  const { requests, limits, waiting, workers, cache } = readings;
  return [
    gauge(
      "imagesvc_requests_arriving",
      "Requests whose body is arriving.",
      () => requests().arriving,
    ),
    gauge(
      "imagesvc_requests_inside",
      "Requests for vectors that are fetching, waiting or in a worker.",
      () => requests().inside,
    ),
    gauge(
      "imagesvc_requests_inside_limit",
      "The most of them, by QUEUE_LIMIT.",
      () => limits.inside,
    ),
    gauge(
      "imagesvc_held_bytes",
      "Bytes of bodies and fetched images that requests hold in memory.",
      () => requests().heldBytes,
    ),
    gauge("imagesvc_held_bytes_limit", "The most of them.", () => limits.heldBytes),
    gauge("imagesvc_queue_jobs", "Images and texts that wait for a worker.", waiting),
    gauge("imagesvc_workers", "Worker threads that do not hang.", () => workers().total),
    gauge("imagesvc_workers_busy", "Worker threads that are at something.", () => workers().busy),
    gauge(
      "imagesvc_cache_bytes",
      "Bytes of the embedding cache's files.",
      () => cache?.bytes() ?? 0,
    ),
    gauge(
      "imagesvc_cache_limit_bytes",
      "The most of them, by CACHE_MAX_BYTES; 0 where no vectors are kept.",
      () => cache?.maxBytes ?? 0,
    ),
  ];
}

function ofProcess({ freeBytes, droppedLogLines }: Readings): Metric[] {
  const startedAt = performance.timeOrigin / 1000;
  return [
    new Gauge({
      name: "imagesvc_disk_free_bytes",
      help: "Bytes that are free for this user on the disk of each folder.",
      labelNames: ["folder"],
      registers: [],
      collect() {
        for (const [folder, bytes] of Object.entries(freeBytes())) {
          if (bytes !== undefined) this.set({ folder }, bytes);
        }
      },
    }),
    counter(
      "imagesvc_log_lines_dropped_total",
      "Log lines that nobody read in time.",
      droppedLogLines,
    ),
    counter("process_cpu_seconds_total", "User and system time of all threads.", cpuSeconds),
    processGauge("process_resident_memory_bytes", "Resident memory.", residentBytes),
    processGauge("process_open_fds", "Open file descriptors.", openDescriptors),
    processGauge("process_max_fds", "Most open file descriptors.", maxDescriptors),
    gauge("process_start_time_seconds", "When the process began, since 1970.", () => startedAt),
  ];
}

function gauge(name: string, help: string, read: () => number): Metric {
  return new Gauge({
    name,
    help,
    registers: [],
    collect() {
      this.set(read());
    },
  });
}

function processGauge(name: string, help: string, read: () => number | undefined): Metric {
  return new Gauge({
    name,
    help,
    registers: [],
    collect() {
      const value = read();
      if (value === undefined) this.remove();
      else this.set(value);
    },
  });
}

/** A counter of somebody else's. */
function counter(name: string, help: string, read: () => number): Metric {
  return new Counter({
    name,
    help,
    registers: [],
    collect() {
      this.reset();
      this.inc(read());
    },
  });
}
