/**
 * Sees to it that all workers' inferences together have no more threads than there are cores: any number of
 * workers infer at once, each on its share of the cores, or one of them on all cores. Decoding goes on meanwhile.
 */
import type { SharedCores } from "../src/backends/protocol.ts";

/** The way into the cores, of one worker. */
export interface CoreGate {
  /** Infers on this worker's share; blocks the thread while another has every core. */
  onShare<T>(infer: () => Promise<T>): Promise<T>;
  /** Infers on all cores; undefined, with nothing done, where somebody infers now. */
  onAll<T>(infer: () => Promise<T>): Promise<T> | undefined;
}

/** What the number says while one worker has every core; else how many infer. */
const taken = -1;

/**
 * An inference of one picture takes a tenth of a second on a slow host: whoever has the cores for longer hangs,
 * or died with them. Then they are taken from it, so that a worker that is lost does not keep them.
 */
const maxWaitMs = 2_000;

/** Makes the gate of one worker. */
export function createCoreGate(cores: SharedCores): CoreGate {
  function enter(): void {
    for (;;) {
      const inferring = Atomics.load(cores, 0);
      if (inferring === taken) {
        if (Atomics.wait(cores, 0, taken, maxWaitMs) === "timed-out") leaveAll();
      } else if (Atomics.compareExchange(cores, 0, inferring, inferring + 1) === inferring) {
        return;
      }
    }
  }

  /** Does nothing where they were taken away meanwhile. */
  function leaveAll(): void {
    Atomics.compareExchange(cores, 0, taken, 0);
    Atomics.notify(cores, 0);
  }

  return {
    onShare: async (infer) => {
      enter();
      try {
        return await infer();
      } finally {
        Atomics.sub(cores, 0, 1);
      }
    },
    onAll: (infer) => {
      if (Atomics.compareExchange(cores, 0, 0, taken) !== 0) return undefined;
      return Promise.try(infer).finally(leaveAll);
    },
  };
}
