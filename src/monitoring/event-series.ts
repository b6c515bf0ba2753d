/** What is counted and timed while it happens. Names and units follow https://prometheus.io/docs/practices/naming/. */
import type { Metric } from "prom-client";
import Counter from "prom-client/lib/counter.js";
import Gauge from "prom-client/lib/gauge.js";
import Histogram from "prom-client/lib/histogram.js";
import type { Observer, ServedRequest, WrittenTrail } from "../observer.ts";

/** From a vector that was remembered to the deadline of a request. */
const requestBuckets = [
  ...[0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5],
  ...[1, 2.5, 5, 10, 20, 30, 60],
];
/** From a wait that is none to the deadline of a request. */
const stageBuckets = [0.0005, ...requestBuckets];
/** A frame, what a person notices, and what a load balancer does. */
const loopBuckets = [0.001, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 5];
/** A key of 40 requests a minute makes one wait for a minute at most, several of them for longer. */
const quotaBuckets = [0.01, 0.1, 0.5, 1, 2.5, 5, 10, 20, 30, 60];

/** Methods by name; others are few, and their names the client's. */
const knownMethods = ["GET", "HEAD", "POST", "OPTIONS"];

/** The series, and how they are told. */
export interface EventSeries {
  readonly all: readonly Metric[];
  readonly observer: Observer;
  readonly requestServed: (served: ServedRequest) => void;
  readonly loopDelayed: (delayMs: number) => void;
}

/** Makes the series, all at nothing and in no registry. */
export function createEventSeries(): EventSeries {
  const requests = ofRequests();
  const inputs = ofInputs();
  const nvidia = ofNvidia();
  const batches = new Histogram({
    name: "imagesvc_batch_size",
    help: "Inputs that shared one task of a worker, by kind: image, text or prepare (for NVIDIA).",
    labelNames: ["kind"],
    buckets: [1, 2, 3, 4, 5, 6, 7, 8, 16, 32],
    registers: [],
  });
  const loopDelays = new Histogram({
    name: "imagesvc_event_loop_delay_seconds",
    help: "How late a timer of the main thread was, looked at ten times a second.",
    buckets: loopBuckets,
    registers: [],
  });
  return {
    all: [...requests.all, ...inputs.all, ...nvidia.all, batches, loopDelays],
    observer: {
      batchRun: (kind, size) => batches.observe({ kind }, size),
      ...nvidia.told,
    },
    requestServed: (served) => {
      requests.count(served);
      inputs.count(served.trail);
    },
    loopDelayed: (delayMs) => loopDelays.observe(delayMs / 1000),
  };
}

function ofRequests() {
  const requests = new Counter({
    name: "imagesvc_http_requests_total",
    help: "Requests by route, method, status (left: the client was gone; cut: the service ended) and problem code.",
    labelNames: ["route", "method", "status", "code"],
    registers: [],
  });
  const durations = new Histogram({
    name: "imagesvc_http_request_duration_seconds",
    help: "Time from a request's head to its answer, by route.",
    labelNames: ["route"],
    buckets: requestBuckets,
    registers: [],
  });
  return {
    all: [requests, durations],
    // Paths that are none share one label: there are as many as clients like.
    count: ({ route = "other", method, status, code, startedAt, endedAt }: ServedRequest): void => {
      requests.inc({
        route,
        method: knownMethods.includes(method) ? method : "other",
        status: String(status),
        ...(code && { code }),
      });
      durations.observe({ route }, (endedAt - startedAt) / 1000);
    },
  };
}

function ofInputs() {
  const inputs = new Counter({
    name: "imagesvc_inputs_total",
    help: "Images and texts that were to be embedded, by how they came: url, memory (base64), upload or text.",
    labelNames: ["kind"],
    registers: [],
  });
  const bytes = new Counter({
    name: "imagesvc_image_bytes_total",
    help: "Bytes of the images that came, as they came.",
    registers: [],
  });
  const pixels = new Counter({
    name: "imagesvc_image_pixels_total",
    help: "Pixels of the images that were decoded or remembered.",
    registers: [],
  });
  const lookups = new Counter({
    name: "imagesvc_cache_lookups_total",
    help: "Images that were looked up in the embedding cache, by result: hit or miss.",
    labelNames: ["result"],
    registers: [],
  });
  const failures = new Counter({
    name: "imagesvc_partial_failures_total",
    help: "Inputs, and models of /embeddings, that failed in a request that was answered all the same, by problem code.",
    labelNames: ["code"],
    registers: [],
  });
  const stages = new Histogram({
    name: "imagesvc_stage_duration_seconds",
    help: "Time of one image or text in one stage: fetch, cache, queue, decode, infer or upstream.",
    labelNames: ["stage"],
    buckets: stageBuckets,
    registers: [],
  });
  return {
    all: [inputs, bytes, pixels, lookups, failures, stages],
    count: (trail: WrittenTrail): void => {
      for (const [kind, count] of trail.inputs) inputs.inc({ kind }, count);
      bytes.inc(trail.bytes);
      pixels.inc(trail.pixels);
      lookups.inc({ result: "hit" }, trail.cache.hit);
      lookups.inc({ result: "miss" }, trail.cache.miss);
      for (const [code, count] of trail.failures) failures.inc({ code }, count);
      for (const { stage, startedAt, endedAt } of trail.stages) {
        stages.observe({ stage }, (endedAt - startedAt) / 1000);
      }
    },
  };
}

function ofNvidia() {
  const calls = new Counter({
    name: "imagesvc_nvidia_calls_total",
    help: "Calls of NVIDIA's model by outcome: embedding, rate-limited, fault, refused, transient or late.",
    labelNames: ["outcome"],
    registers: [],
  });
  const durations = new Histogram({
    name: "imagesvc_nvidia_call_duration_seconds",
    help: "Time of one call of NVIDIA's model, polls included.",
    buckets: requestBuckets,
    registers: [],
  });
  const quotaWaits = new Histogram({
    name: "imagesvc_nvidia_quota_wait_seconds",
    help: "Time that a call of NVIDIA's model waited for its turn under the quota.",
    buckets: quotaBuckets,
    registers: [],
  });
  const breaker = new Gauge({
    name: "imagesvc_nvidia_breaker_open",
    help: "1 while NVIDIA is not called for a fault that somebody must mend.",
    registers: [],
  });
  const told: Omit<Observer, "batchRun"> = {
    upstreamCalled: (outcome, tookMs) => {
      calls.inc({ outcome });
      durations.observe(tookMs / 1000);
    },
    quotaWaited: (waitedMs) => quotaWaits.observe(waitedMs / 1000),
    breakerTurned: (isOpen) => breaker.set(isOpen ? 1 : 0),
  };
  return { all: [calls, durations, quotaWaits, breaker], told };
}
