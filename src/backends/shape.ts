/**
 * How the cores are divided: workers × threads of each × images of a batch. The one place that says so.
 *
 * | cores | workers × threads | a picture that comes alone |
 * |---|---|---|
 * | 1 | 1 × 1 | |
 * | 2 to 8 | one for each core × 1 | a second session in one worker, with all cores |
 * | 9 to 15 | 4 to 7 × 2 | the same |
 * | 16, 32, 64 | 8 × 2, 4, 8 | the same |
 *
 * Measured on 1 and 2 cores, with `bun run bench shapes` and `taskset -c 0 bun run bench shapes`; see
 * CONTRIBUTING.md for its table: bare, both shapes of two cores give the same on a quiet machine. Reasoned for more: a
 * thread that infers alone never waits for another, and while one worker decodes, which one thread does, the others infer; a worker of n threads leaves n - 1 of them idle
 * meanwhile. So there is one worker for each core as long as that costs little memory: up to 8 of them, each with
 * some 70 MB beside the packed weights. Beyond that threads are added, as a larger machine has more of all. Batches
 * beyond 8 gain 1 %, and make everybody wait for longer.
 */
export interface Shape {
  readonly workers: number;
  /** onnxruntime's threads of each worker. */
  readonly threads: number;
  /** Threads of the session for a picture that comes alone; undefined where a worker has all cores anyway. */
  readonly wideThreads: number | undefined;
}

/** Workers that are started where WORKERS does not say. */
const maxDefaultWorkers = 8;

/**
 * Divides cores among workers.
 *
 * @param cores that may be kept busy, 1 at least.
 * @param wanted WORKERS: 0 for as many as are best.
 * @returns never more threads, all workers together, than there are cores.
 */
export function shapeOf(cores: number, wanted: number): Shape {
  const fewestThreads = Math.ceil(cores / maxDefaultWorkers);
  const workers = wanted === 0 ? Math.floor(cores / fewestThreads) : Math.min(wanted, cores);
  return {
    workers,
    threads: Math.floor(cores / workers),
    wideThreads: workers === 1 ? undefined : cores,
  };
}
