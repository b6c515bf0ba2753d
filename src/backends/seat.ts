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
  /** Called each time the seat is free and has no errand left, and when it is lost. */
  readonly onChange: () => void;
}

export interface Seat {
  isFree(): boolean;
  /** Whether its thread hangs in native code: the seat stays taken for good. */
  isLost(): boolean;
  /** Whether its session holds a model. */
  isWarm(): boolean;
  /** Occupies the free seat; after work that throws, the worker is warmed up again. */
  occupy(work: (worker: Worker) => Promise<void>): void;
  /** Does something on this worker as soon as it is free. */
  errand<T>(work: (worker: Worker) => Promise<T>): Promise<T>;
  /**
   * Loads a model, or none, and runs it once.
   *
   * @throws DeadlineError when that takes too long; the seat is then lost.
   */
  warmUp(model: ClipModelFile | undefined): Promise<void>;
  /** Ends the thread of a free seat. A lost one is left alone: ending it would abort the process. */
  close(): Promise<void>;
}

/** Makes the seat of one worker. */
export function createSeat(options: SeatOptions): Seat {
  const { worker, onChange, onWorkerLost } = options;
  const errands: (() => Promise<void>)[] = [];
  let busy = false;
  let lost = false;
  let loaded: ClipModelFile | undefined;

  async function settle(work: Promise<void>): Promise<void> {
    try {
      await inTime(work, options.hangTimeoutMs, "a worker hangs in native code");
    } catch (error) {
      if (error instanceof DeadlineError) await abandon(error);
      else if (loaded !== undefined) await revive(loaded);
    }
  }

  /** A thread that died was replaced by a cold one, so the model is loaded again. */
  async function revive(model: ClipModelFile): Promise<void> {
    try {
      await load(model);
    } catch (cause) {
      const error = new Error("a worker could not be warmed up again", { cause });
      if (cause instanceof DeadlineError) await abandon(error);
      else onWorkerLost(error);
    }
  }

  /** Never returns, so that the seat stays taken: its thread is still inside. */
  function abandon(error: Error): Promise<never> {
    lost = true;
    onWorkerLost(error);
    onChange();
    return new Promise(() => {});
  }

  async function load(model: ClipModelFile | undefined): Promise<void> {
    loaded = undefined;
    const task = worker.run({ kind: "warm-up", model });
    await inTime(task, options.warmUpTimeoutMs, "a worker did not become ready");
    loaded = model;
  }

  function begin(work: Promise<void>): void {
    busy = true;
    void work.then(() => {
      busy = false;
      const next = errands.shift();
      if (next === undefined) onChange();
      else begin(next());
    });
  }

  function errand<T>(work: (worker: Worker) => Promise<T>): Promise<T> {
    const { promise, resolve, reject } = Promise.withResolvers<T>();
    const run = async () => {
      try {
        resolve(await work(worker));
      } catch (error) {
        reject(error);
        if (error instanceof DeadlineError) await abandon(error);
      }
    };
    if (busy) errands.push(run);
    else begin(run());
    return promise;
  }

  return {
    isFree: () => !busy,
    isLost: () => lost,
    isWarm: () => loaded !== undefined,
    occupy: (work) => begin(settle(work(worker))),
    errand,
    warmUp: (model) => errand(() => load(model)),
    close: async () => {
      if (lost) return;
      if (loaded !== undefined) await load(undefined); // releases the session
      await worker.close();
    },
  };
}
