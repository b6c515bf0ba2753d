/** A worker and what it is at: one piece of work at a time, warm-ups, and its return after a failure. */
import { DeadlineError, inTime } from "./deadline.ts";
import type { Worker } from "./pool.ts";
import type { ClipModelFile } from "./protocol.ts";

export interface SeatOptions {
  readonly worker: Worker;
  /** ms; work that takes longer hangs in native code. */
  readonly hangTimeoutMs: number;
  /** ms; a worker that is not warm by then is given up. */
  readonly warmUpTimeoutMs: number;
  /** Called when the worker hangs or cannot be warmed up again: the process must drain and restart. */
  readonly onWorkerLost: (cause: Error) => void;
  /** Called each time the seat is free and has no errand left. */
  readonly onFree: () => void;
}

export interface Seat {
  isFree(): boolean;
  /** Whether its session holds a model. */
  isWarm(): boolean;
  /** Occupies the free seat; after work that throws, the worker is warmed up again. */
  occupy(work: (worker: Worker) => Promise<void>): void;
  /** Does something on this worker as soon as it is free. */
  errand<T>(work: (worker: Worker) => Promise<T>): Promise<T>;
  /** Loads a model, or none, and runs it once. */
  warmUp(model: ClipModelFile | undefined): Promise<void>;
}

/** Makes the seat of one worker. */
export function createSeat(options: SeatOptions): Seat {
  const { worker, onFree, onWorkerLost } = options;
  const errands: (() => Promise<void>)[] = [];
  let busy = false;
  let loaded: ClipModelFile | undefined;

  async function settle(work: Promise<void>): Promise<void> {
    try {
      await inTime(work, options.hangTimeoutMs, "a worker hangs in native code");
    } catch (error) {
      if (error instanceof DeadlineError) {
        onWorkerLost(error);
        return new Promise(() => {}); // the seat stays taken: its thread is still inside
      }
      await revive();
    }
  }

  /** A thread that died was replaced by a cold one, so the model is loaded again. */
  async function revive(): Promise<void> {
    if (loaded === undefined) return;
    try {
      await load(loaded);
    } catch (error) {
      loaded = undefined;
      onWorkerLost(new Error("a worker could not be warmed up again", { cause: error }));
    }
  }

  async function load(model: ClipModelFile | undefined): Promise<void> {
    const task = worker.run({ kind: "warm-up", model });
    await inTime(task, options.warmUpTimeoutMs, "a worker did not become ready");
    loaded = model;
  }

  function begin(work: Promise<void>): void {
    busy = true;
    void work.then(() => {
      busy = false;
      const next = errands.shift();
      if (next === undefined) onFree();
      else begin(next());
    });
  }

  function errand<T>(work: (worker: Worker) => Promise<T>): Promise<T> {
    const { promise, resolve, reject } = Promise.withResolvers<T>();
    const run = () => work(worker).then(resolve, reject);
    if (busy) errands.push(run);
    else begin(run());
    return promise;
  }

  return {
    isFree: () => !busy,
    isWarm: () => loaded !== undefined,
    occupy: (work) => begin(settle(work(worker))),
    errand,
    warmUp: (model) => errand(() => load(model)),
  };
}
