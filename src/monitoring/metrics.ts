/** The metrics of a service: counted as the work goes on, read when somebody asks, exposed for Prometheus. */
import type { OpenMetricsContentType } from "prom-client";
import Registry from "prom-client/lib/registry.js";
import type { Observer, ServedRequest } from "../observer.ts";
import { watchEventLoop } from "./event-loop.ts";
import { createEventSeries } from "./event-series.ts";
import { createReadSeries, type Readings } from "./read-series.ts";

/** A text for a scraper. */
export interface Exposition {
  readonly contentType: string;
  readonly text: string;
}

export interface Metrics {
  /** Whom the core tells of its work. */
  readonly observer: Observer;
  /** Counts a request that has its answer. */
  requestServed(served: ServedRequest): void;
  /**
   * Writes all metrics.
   *
   * @param accept header of the scraper; it gets OpenMetrics 1.0 where it asks for it, else the text format 0.0.4.
   */
  expose(accept: string | null): Promise<Exposition>;
  /** Begins to watch the event loop. @returns the way to stop. */
  watch(): () => void;
}

/** Makes the metrics; nothing is global, so that two services in one process keep their own. */
export function createMetrics(readings: Readings): Metrics {
  // The same series twice: which format a registry writes is the registry's.
  const plain = new Registry();
  const open = new Registry<OpenMetricsContentType>();
  open.setContentType(Registry.OPENMETRICS_CONTENT_TYPE);
  const events = createEventSeries();
  for (const series of [...events.all, ...createReadSeries(readings)]) {
    plain.registerMetric(series);
    // A registry of OpenMetrics cuts `_total` off its counters' own names (prom-client 15): off these, not the others'.
    open.registerMetric(Object.create(series));
  }
  return {
    observer: events.observer,
    requestServed: events.requestServed,
    expose: async (accept) => {
      const registry = accept?.includes("application/openmetrics-text") ? open : plain;
      return { contentType: registry.contentType, text: await registry.metrics() };
    },
    watch: () => watchEventLoop(events.loopDelayed),
  };
}
