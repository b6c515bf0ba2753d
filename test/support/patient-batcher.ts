/** A batcher's settings where no deadline is to end anything, and nobody hears of a fault. */
import type { BatcherOptions } from "../../src/backends/batcher.ts";

export const patientOptions = {
  decode: { maxPixels: 1, orientation: "apply" },
  maxBatch: 8,
  maxTextBatch: 8,
  hangTimeoutMs: 60_000,
  warmUpTimeoutMs: 60_000,
  writeModelTimeoutMs: 60_000,
  pingTimeoutMs: 60_000,
  log: { warn: () => {} },
  onWorkerLost: () => {},
} as const satisfies Omit<BatcherOptions, "workers">;
