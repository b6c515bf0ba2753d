/** All workers' seats: who is free, who is lost, and what is asked of all of them. */
import { DeadlineError, inTime } from "./deadline.ts";
import type { Worker } from "./pool.ts";
import type { ClipModelFile, ModelToWrite, WrittenModel } from "./protocol.ts";
import { createSeat, type Seat, type SeatOptions } from "./seat.ts";

export interface SeatsOptions extends Omit<SeatOptions, "worker" | "cores"> {
  readonly workers: readonly Worker[];
  /** ms; writing a model that takes longer hangs. */
  readonly writeModelTimeoutMs: number;
  /** Whether a model counts as loaded once the first worker has it; otherwise once all have. */
  readonly isReadyWithFirst?: boolean;
}

export interface Seats {
  /** Those that can take work now. */
  free(): readonly Seat[];
  /** Those whose threads do not hang. */
  here(): readonly Seat[];
  /** How many of these there are. */
  size(): number;
  /** The same, and how many of them are at something. */
  count(): { readonly total: number; readonly busy: number };
  /** Whether no worker is at anything that will end. */
  areIdle(): boolean;
  /**
   * To be called where none infers: a thread that died in an inference has not given back its share of the cores, without
   * which no picture would get all of them again.
   */
  freeCores(): void;
  /** Whether there were some, and none is left. */
  areLost(): boolean;
  /**
   * Sees to it that both towers of a model are there, on one worker.
   *
   * @throws Error if the thread dies; DeadlineError when it takes too long, and the worker is then lost.
   */
  writeModel(model: ModelToWrite): Promise<WrittenModel>;
  /**
   * Loads the model, if there is one, into every worker; or into the first, where that is enough, and nobody waits for
   * the others: of one that cannot load it `onWorkerLost` tells. The session of all cores, where the model is to have
   * one, is opened after that, by the first of them, and nobody waits for it either.
   *
   * @throws as {@link Seat.warmUp} does.
   */
  warmUp(model: ClipModelFile | undefined): Promise<void>;
  /** Asks every idle worker for a sign of life. */
  check(): void;
  /** Ends the threads of those that do not hang; all must be free. */
  close(): Promise<void>;
}

/** Seats the workers, who share the cores. */
export function createSeats(options: SeatsOptions): Seats {
  const cores = new Int32Array(new SharedArrayBuffer(Int32Array.BYTES_PER_ELEMENT));
  const seats = options.workers.map((worker) => createSeat({ ...options, worker, cores }));
  const here = () => seats.filter((seat) => !seat.isLost());
  const check = () => {
    for (const seat of seats) seat.check();
  };

  /** What the first has loaded, the others can: one that fails is as good as one that cannot be warmed up again. */
  async function warmUpOthers(others: readonly Seat[], model: ClipModelFile): Promise<void> {
    const outcomes = await Promise.allSettled(others.map((seat) => seat.warmUp(model)));
    for (const outcome of outcomes) {
      // Of one that hangs its seat has told.
      if (outcome.status === "fulfilled" || outcome.reason instanceof DeadlineError) continue;
      const cause: unknown = outcome.reason;
      options.onWorkerLost(new Error("a worker could not load the model", { cause }));
    }
  }

  return {
    free: () => seats.filter((seat) => seat.isFree()),
    here,
    size: () => here().length,
    count: () => ({
      total: here().length,
      busy: here().filter((seat) => !seat.isFree()).length,
    }),
    areIdle: () => here().every((seat) => seat.isFree()),
    freeCores: () => void Atomics.store(cores, 0, 0),
    areLost: () => seats.length > 0 && here().length === 0,
    writeModel: async (model) => {
      const [first, ...others] = seats;
      // Their threads start meanwhile: then nobody waits for that when the model is loaded.
      for (const other of others) other.check();
      if (first === undefined) throw new Error("there is no worker");
      return await first.errand((worker) => {
        const written = worker.run({ kind: "write-model", model });
        return inTime(written, options.writeModelTimeoutMs, "writing the model took too long");
      });
    },
    warmUp: async (model) => {
      const [first, ...others] = seats;
      const widen = () => {
        if (model?.wideThreads !== undefined) first?.widen();
      };
      if (model === undefined || options.isReadyWithFirst !== true) {
        await Promise.all(seats.map((seat) => seat.warmUp(model)));
        widen();
        return;
      }
      await first?.warmUp(model);
      void warmUpOthers(others, model).then(widen);
    },
    check,
    close: async () => {
      await Promise.all(seats.map((seat) => seat.close()));
    },
  };
}
