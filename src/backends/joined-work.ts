/** Work that several callers wait for but that is done once. */

/** One who waits. */
export interface Caller {
  /** Aborts when the caller has left. */
  readonly signal: AbortSignal;
  /** `performance.now()` until which it waits; Infinity: as long as the work takes. */
  readonly deadline: number;
}

/** What the work may know about those who wait for it. */
export interface Audience {
  /** Aborts when nobody waits any more. */
  readonly signal: AbortSignal;
  /** The latest deadline of all who ever waited; grows when somebody joins. */
  readonly deadline: () => number;
}

/** How waiting ended without a result. */
export type Unserved = "left" | "late";

/** Joins callers by id: the first one starts the work, later ones wait with it. */
export type JoinWork<T> = (
  id: string,
  caller: Caller,
  work: (audience: Audience) => Promise<T>,
) => Promise<T | Unserved>;

/** 24 days: a longer timer would be over at once. */
const longestTimerMs = 2 ** 31 - 1;

interface Flight<T> {
  readonly result: Promise<T>;
  readonly controller: AbortController;
  waiting: number;
  deadline: number;
}

/**
 * Makes an empty board of work under way.
 *
 * @param now milliseconds on the scale of the callers' deadlines.
 * @returns a function that throws whatever the work throws. Nobody's leaving disturbs the others.
 */
export function createJoinedWork<T>(now: () => number): JoinWork<T> {
  const flights = new Map<string, Flight<T>>();

  function start(id: string, work: (audience: Audience) => Promise<T>): Flight<T> {
    const controller = new AbortController();
    const audience = { signal: controller.signal, deadline: () => flight.deadline };
    // The work starts a microtask later, when the first caller's deadline is known.
    const result = Promise.resolve().then(() => work(audience));
    const flight: Flight<T> = { result, controller, waiting: 0, deadline: 0 };
    flights.set(id, flight);
    const land = () => forget(id, flight);
    result.then(land, land);
    return flight;
  }

  function forget(id: string, flight: Flight<T>): void {
    if (flights.get(id) === flight) flights.delete(id);
  }

  return async (id, { signal, deadline }, work) => {
    if (signal.aborted) return "left";
    const flight = flights.get(id) ?? start(id, work);
    flight.waiting += 1;
    flight.deadline = Math.max(flight.deadline, deadline);
    const { promise: unserved, resolve } = Promise.withResolvers<Unserved>();
    const leave = () => resolve("left");
    const waitMs = Math.min(Math.max(0, deadline - now()), longestTimerMs);
    const timer = setTimeout(() => resolve("late"), waitMs);
    signal.addEventListener("abort", leave, { once: true });
    try {
      return await Promise.race([flight.result, unserved]);
    } finally {
      clearTimeout(timer);
      signal.removeEventListener("abort", leave);
      flight.waiting -= 1;
      if (flight.waiting === 0) {
        forget(id, flight);
        flight.controller.abort();
      }
    }
  };
}
