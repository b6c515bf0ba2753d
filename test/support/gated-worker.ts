/**
 * A worker module whose threads infer again and again, behind the gate that they share, and count whoever is inside
 * with them. `inside` is the number of threads that infer now, `worst` the most threads that were ever in the way
 * of one that had every core.
 */
import { createCoreGate } from "../../workers/core-gate.ts";

export interface GatedTask {
  readonly cores: Int32Array<SharedArrayBuffer>;
  /** Two numbers: `inside` and `worst`. */
  readonly counts: Int32Array<SharedArrayBuffer>;
  readonly times: number;
}

/** Entry point for piscina. @returns how often it had every core. */
export async function handle({ cores, counts, times }: GatedTask): Promise<number> {
  const gate = createCoreGate(cores);
  let timesAlone = 0;
  for (let time = 0; time < times; time += 1) {
    const alone = time % 2 === 0 ? gate.onAll(() => inferBesides(counts, 0)) : undefined;
    if (alone !== undefined) timesAlone += 1;
    await (alone ?? gate.onShare(() => inferBesides(counts, Number.POSITIVE_INFINITY)));
  }
  return timesAlone;
}

/** Computes for a while. @param most how many others may be at it too. */
async function inferBesides(counts: Int32Array<SharedArrayBuffer>, most: number): Promise<void> {
  Atomics.add(counts, 0, 1);
  for (let step = 0; step < 1000; step += 1) {
    const others = Atomics.load(counts, 0) - 1;
    if (others > most) Atomics.store(counts, 1, others);
  }
  Atomics.sub(counts, 0, 1);
}
