/** When the workers would be done with what is asked of them, from how long such inputs took lately. */
import { Problem } from "../errors.ts";
import type { Demand } from "./backend.ts";
import type { InputKind, JobQueue } from "./job.ts";

export interface ForecastOptions {
  readonly queue: Pick<JobQueue, "size" | "preview">;
  /** How many workers there are: each takes images. */
  readonly workers: number;
  /** How many of them take texts too. */
  readonly textWorkers: () => number;
  /** Most inputs of each kind that a worker takes together. */
  readonly maxBatch: Readonly<Record<InputKind, number>>;
}

export interface Forecast {
  /**
   * To be called when a worker takes so many inputs of a kind.
   *
   * @returns to be called when it is done with them, with the ms that each took, where that is known.
   */
  begin(kind: InputKind, inputs: number): (tookMs?: number) => void;
  /** ms until all that waits now would be begun. */
  waitMs(kind: InputKind): number;
  /**
   * The problem `overloaded` of a demand that would not be met in time, or that would make those who wait
   * already late. Jobs that are added in the same turn of the event loop are counted for the next demand.
   * Idle workers take whatever is asked: only trying tells how long it takes now.
   */
  refusal(demand: Demand): Problem | undefined;
}

/** Weight of the newest measurement in the running mean of ms an image or text. */
const newestWeight = 0.2;

/** ms an input, until one has been measured: of a host that is rather slow. */
const firstGuess = { image: 100, text: 25 } as const;

/**
 * The part of its time in which a demand must be done, by the forecast: the rest is for those who come later
 * and, because callers take turns, pass its last inputs; and for inputs that take longer than the last ones: a text of 77 tokens takes more than twice
 * as long as a short one.
 */
const ownPart = { image: 0.75, text: 0.4 } as const;

/** Makes the forecast of one queue. */
export function createForecast(options: ForecastOptions): Forecast {
  const { queue, workers, textWorkers, maxBatch } = options;
  const measured: Partial<Record<InputKind, number>> = {};
  const running = { image: 0, text: 0 };
  const msPer = (kind: InputKind) => measured[kind] ?? firstGuess[kind];

  /**
   * ms until so many inputs are done, and before them, by turns, those of the other kind. Texts wait for the
   * workers that take them, which take as many images in between as the other workers leave to them.
   */
  function finishMs(kind: InputKind, inputs: number, others: number): number {
    const otherKind = kind === "text" ? "image" : "text";
    const own = Math.max(msPer(kind), 0.001);
    const other = msPer(otherKind);
    const withBoth = textWorkers();
    const takers = kind === "text" ? withBoth : workers;
    // Such a worker takes a batch of the one kind, then one of the other.
    const inTurn = own + (other * maxBatch[otherKind]) / maxBatch[kind];
    const byTurns = inputs / ((takers - withBoth) / own + withBoth / inTurn);
    const allMs = (inputs * own + others * other) / workers;
    return Math.max((inputs * own) / takers, Math.min(byTurns, allMs));
  }

  /** ms until the one that waits in this place, counted from 1, is done, and all that was begun before. */
  function placeMs(kind: InputKind, place: number): number {
    const other = kind === "text" ? "image" : "text";
    return finishMs(kind, place + running[kind], queue.size(other) + running[other]);
  }

  /** ms until it would make sense to ask again; 0 for now. */
  function retryMs({ kind, inputs, deadline }: Demand): number {
    const now = performance.now();
    const { lastPlace, passed } = queue.preview(kind, inputs);
    const overrunMs = placeMs(kind, lastPlace) - ownPart[kind] * (deadline - now);
    // Once everything that waits is done, it is tried whatever it takes.
    const ownMs = Math.min(Math.max(0, overrunMs), placeMs(kind, queue.size(kind)));
    const late = passed.find((one) => placeMs(kind, one.place) > one.deadline - now);
    const waitMs = Math.max(ownMs, late === undefined ? 0 : placeMs(kind, late.place));
    // By the end of a request's time all that waits now is over, one way or the other.
    return Math.min(waitMs, Math.max(0, deadline - now));
  }

  return {
    begin: (kind, inputs) => {
      running[kind] += inputs;
      return (tookMs) => {
        running[kind] -= inputs;
        if (tookMs === undefined) return;
        const mean = measured[kind] ?? tookMs;
        measured[kind] = mean + newestWeight * (tookMs - mean);
      };
    },
    waitMs: (kind) =>
      finishMs(kind, queue.size(kind), queue.size(kind === "text" ? "image" : "text")),
    refusal: (demand) => {
      const isIdle = queue.size() + running.image + running.text === 0;
      if (isIdle || demand.inputs === 0) return undefined;
      const waitMs = retryMs(demand);
      if (waitMs === 0) return undefined;
      const retryAfterS = Math.max(1, Math.ceil(waitMs / 1000));
      const detail = `The service is at capacity, and this could not be done in time: come back in ${retryAfterS} s.`;
      return new Problem("overloaded", detail, { retryAfterS });
    },
  };
}
