/**
 * Worker threads, each behind a piscina of its own: so a task can be addressed to one worker (to warm
 * up that one, also after a crash), and piscina's own queue never holds more than the task that runs.
 * A worker inside native code is never terminated: that would abort the process.
 */
import { move, Piscina, transferableSymbol, valueSymbol } from "piscina";
import type { Answers, Task } from "./protocol.ts";

/** Where the worker's code is: in the source tree or inside the executable. */
export interface WorkerFiles {
  /** The module whose `handle` runs the tasks. */
  readonly inference: string;
  /** The module whose `handle` parses JSON. */
  readonly json: string;
  /** The module whose `handle` hashes images and writes the embedding cache. */
  readonly cache: string;
}

/** One worker thread. */
export interface Worker {
  /**
   * Runs one task; the caller sees to it that only one runs at a time.
   *
   * @param transfer buffers that move to the worker.
   * @throws whatever the task throws, or Error when the thread dies; piscina then starts a fresh one.
   */
  run<Kind extends Task["kind"]>(
    task: Extract<Task, { kind: Kind }>,
    transfer?: readonly ArrayBuffer[],
  ): Promise<Answers[Kind]>;
  /** Calls back when the thread has died, and a cold one takes its place. */
  onDeath(listener: () => void): void;
  /** Ends the thread once its task is done. */
  close(): Promise<void>;
}

/** Makes one worker. Its thread starts with its first task, so that it does not slow down the process's own start. */
export function createWorker({ inference }: Pick<WorkerFiles, "inference">): Worker {
  const deathListeners: (() => void)[] = [];
  let piscina: Piscina | undefined;
  return {
    run: (task, transfer = []) => {
      piscina ??= startWorker(inference, deathListeners);
      return piscina.run(move({ [transferableSymbol]: transfer, [valueSymbol]: task }));
    },
    onDeath: (listener) => void deathListeners.push(listener),
    close: async () => await piscina?.close({ force: false }),
  };
}

function startWorker(filename: string, deathListeners: readonly (() => void)[]): Piscina {
  const piscina = startThread(filename, Number.POSITIVE_INFINITY);
  // Told in the middle of piscina's own bookkeeping, in which no task may be given to it.
  piscina.on("workerDestroy", () => {
    for (const listener of deathListeners) queueMicrotask(listener);
  });
  return piscina;
}

/**
 * Puts one thread behind a piscina.
 *
 * @param filename the module whose `handle` runs the tasks.
 * @param idleMs a thread without a task ends after so long, and starts again with the next one; one that may
 *   wait for ever starts at once.
 */
export function startThread(filename: string, idleMs: number): Piscina {
  const piscina = new Piscina({
    filename,
    name: "handle",
    minThreads: idleMs === Number.POSITIVE_INFINITY ? 1 : 0,
    maxThreads: 1,
    concurrentTasksPerWorker: 1,
    idleTimeout: idleMs,
    // A worker that sleeps in Atomics.wait would never finish sharp's and onnxruntime's own clean-up.
    atomics: "disabled",
    recordTiming: false,
  });
  // A thread that dies while idle is replaced; one that dies in a task rejects that task too.
  piscina.on("error", () => {});
  return piscina;
}
