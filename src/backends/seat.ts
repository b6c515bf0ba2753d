/** A worker and what it is at: one piece of work at a time, warm-ups, and its return after a failure. */
import { messageOf, Problem } from "../errors.ts";
import type { Log } from "../log.ts";
import { DeadlineError, inTime } from "./deadline.ts";
import type { Worker } from "./pool.ts";
import type { ClipModelFile, SharedCores } from "./protocol.ts";

export interface SeatOptions {
  readonly worker: Worker;
  /** What all workers share, so that they do not infer with more threads than there are cores. */
  readonly cores: SharedCores;
  /** ms; work that takes longer hangs in native code. */
  readonly hangTimeoutMs: number;
  /** ms; a worker that is not warm by then is given up. */
  readonly warmUpTimeoutMs: number;
  /** ms; an idle worker that does not answer by then hangs too. */
  readonly pingTimeoutMs: number;
  readonly log: Pick<Log, "warn">;
  /** Called when the worker hangs, or cannot be warmed up (again): the process must drain and restart. */
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
  /**
   * Occupies the free seat; after work that throws, the worker is warmed up again.
   *
   * @param onLost called when the work hangs, and will never end.
   */
  occupy(work: (worker: Worker) => Promise<void>, onLost: () => void): void;
  /** Asks an idle worker for a sign of life, and warms it up again if it has lost its model. */
  check(): void;
  /** Does something on this worker as soon as it is free. */
  errand<T>(work: (worker: Worker) => Promise<T>): Promise<T>;
  /**
   * Loads a model, or none, and runs it once.
   *
   * @throws DeadlineError when that takes too long, and the seat is then lost; Problem for a model that
   *   cannot be used.
   */
  warmUp(model: ClipModelFile | undefined): Promise<void>;
  /**
   * Opens the session of all cores, as soon as the seat is free; again whenever the worker is warmed up again. Nothing
   * once it is closed.
   */
  widen(): void;
  /** Whether it is open. */
  isWide(): boolean;
  /** Ends the thread of a free seat. A lost one is left alone: ending it would abort the process. */
  close(): Promise<void>;
}

/** How long work may take. */
interface WorkTerms {
  readonly timeoutMs: number;
  /** What is said of work that takes longer. */
  readonly fault: string;
  readonly onLost?: () => void;
}

/** Makes the seat of one worker. */
export function createSeat(options: SeatOptions): Seat {
  const { worker, onChange, onWorkerLost } = options;
  const turns = createTurns(onChange);
  const session = createSession(options);
  let isLost = false;
  let isClosed = false;

  /** Sees work to its end, whatever that is, so that the seat can be offered again. */
  async function settle(work: Promise<void>, { timeoutMs, fault, onLost }: WorkTerms) {
    try {
      await inTime(work, timeoutMs, fault);
    } catch (error) {
      if (error instanceof DeadlineError) {
        onLost?.();
        await abandon(error);
      } else await revive(error);
    }
  }

  /** A thread that died was replaced by a cold one, so the model is loaded again. */
  async function revive(why: unknown): Promise<void> {
    const [model, wasWide] = [session.model(), session.isWide()];
    if (model === undefined) return;
    options.log.warn("a worker is warmed up again", { cause: messageOf(why) });
    try {
      await session.load(model);
      if (wasWide) widen();
    } catch (cause) {
      const error = new Error("a worker could not be warmed up again", { cause });
      if (cause instanceof DeadlineError) await abandon(error);
      else onWorkerLost(error);
    }
  }

  /** Never returns, so that the seat stays taken: its thread is still inside. */
  function abandon(error: Error): Promise<never> {
    isLost = true;
    onWorkerLost(error);
    onChange();
    return new Promise(() => {});
  }

  async function errand<T>(work: (worker: Worker) => Promise<T>): Promise<T> {
    const { promise, resolve, reject } = Promise.withResolvers<T>();
    turns.add(async () => {
      try {
        resolve(await work(worker));
      } catch (error) {
        reject(error);
        if (error instanceof DeadlineError) await abandon(error);
      }
    });
    return await promise;
  }

  function widen(): void {
    const terms = { timeoutMs: options.warmUpTimeoutMs, fault: "a worker opens no second session" };
    if (!isClosed) turns.add(() => settle(session.widen(), terms));
  }

  worker.onDeath(() => {
    // Work under way fails by itself, and is followed by a warm-up.
    if (!turns.isTaken() && !isClosed) turns.add(() => revive("its thread died while it was idle"));
  });

  return {
    isFree: () => !turns.isTaken(),
    isLost: () => isLost,
    isWarm: () => session.model() !== undefined,
    occupy: (work, onLost) => {
      const terms = { timeoutMs: options.hangTimeoutMs, fault: "a worker hangs in native code" };
      turns.add(() => settle(work(worker), { ...terms, onLost }));
    },
    check: () => {
      if (turns.isTaken() || isClosed) return;
      const terms = { timeoutMs: options.pingTimeoutMs, fault: "an idle worker is silent" };
      turns.add(() => settle(session.ping(), terms));
    },
    errand,
    warmUp: (model) => errand(() => session.load(model)),
    widen,
    isWide: session.isWide,
    close: async () => {
      isClosed = true;
      if (isLost) return;
      if (session.model() !== undefined) await session.load(undefined); // releases the session
      await worker.close();
    },
  };
}

/** One piece of work after the other; none of them rejects. */
function createTurns(onIdle: () => void) {
  const waiting: (() => Promise<void>)[] = [];
  let isTaken = false;

  function begin(work: () => Promise<void>): void {
    isTaken = true;
    void work().then(() => {
      isTaken = false;
      const next = waiting.shift();
      if (next === undefined) onIdle();
      else begin(next);
    });
  }

  return {
    isTaken: () => isTaken,
    add: (work: () => Promise<void>): void => {
      if (isTaken) waiting.push(work);
      else begin(work);
    },
  };
}

/** What the worker's sessions hold. */
function createSession({
  worker,
  cores,
  warmUpTimeoutMs,
}: Pick<SeatOptions, "worker" | "cores" | "warmUpTimeoutMs">) {
  let loaded: ClipModelFile | undefined;
  let isWide = false;
  return {
    isWide: () => isWide,
    ping: async (): Promise<void> => {
      const { isWarm } = await worker.run({ kind: "ping" });
      if (!isWarm && loaded !== undefined) throw new Error("its thread was replaced");
    },
    /** A thread that dies of it is not asked again. */
    widen: async (): Promise<void> => {
      isWide = false;
      ({ isOpen: isWide } = await worker.run({ kind: "open-wide" }));
    },
    /** Undefined while none is loaded. */
    model: () => loaded,
    load: async (model: ClipModelFile | undefined): Promise<void> => {
      loaded = undefined;
      isWide = false;
      const task = worker.run({ kind: "warm-up", model, cores });
      const answer = await inTime(task, warmUpTimeoutMs, "a worker did not become ready");
      if ("problem" in answer) throw new Problem(answer.problem.code, answer.problem.detail);
      loaded = model;
    },
  };
}
