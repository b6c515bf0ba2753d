/** Work on many things of which only so many are under way. */

interface InFlightOptions {
  /** Things that are worked on at once. */
  readonly width: number;
  /** Whether outcomes come in the order of the things; else as they are done. */
  readonly isOrdered: boolean;
  /** Ends it at once; what is under way is left to itself. */
  readonly signal: AbortSignal;
}

/**
 * How many times as many there are at most with those that are done and wait for their turn: behind one that takes
 * long, work goes on, but not without end.
 */
const widthsHeld = 4;

/** A thing under way, or done and not handed on yet. */
interface Flight<Outcome> {
  landed?: { readonly outcome: Outcome };
}

/**
 * Works on whatever comes, as it comes: a slow source holds no outcome back.
 *
 * @returns all outcomes that can be handed on by now, one at least.
 * @throws what `work` or the source throws, and the signal's reason when it aborts.
 */
export async function* mapInFlight<Item, Outcome>(
  items: AsyncIterable<Item>,
  work: (item: Item) => Promise<Outcome>,
  { width, isOrdered, signal }: InFlightOptions,
): AsyncGenerator<readonly Outcome[]> {
  const source = items[Symbol.asyncIterator]();
  const flights: Flight<Outcome>[] = [];
  const state: { arrived?: IteratorResult<Item>; failure?: { readonly error: unknown } } = {};
  let wake = () => {};
  const fail = (error: unknown) => {
    state.failure ??= { error };
    wake();
  };
  const askNext = () => {
    delete state.arrived;
    source.next().then((result) => {
      state.arrived = result;
      wake();
    }, fail);
  };
  const takeOff = (item: Item) => {
    const flight: Flight<Outcome> = {};
    flights.push(flight);
    work(item).then((outcome) => {
      flight.landed = { outcome };
      wake();
    }, fail);
  };
  const hasRoom = () =>
    flights.length < widthsHeld * width &&
    flights.filter(({ landed }) => landed === undefined).length < width;
  const abort = () => fail(signal.reason);

  signal.throwIfAborted();
  signal.addEventListener("abort", abort, { once: true });
  askNext();
  try {
    for (;;) {
      if (state.failure !== undefined) throw state.failure.error;
      const outcomes = takeLanded(flights, isOrdered);
      if (outcomes.length > 0) {
        yield outcomes;
      } else if (state.arrived?.done === false && hasRoom()) {
        takeOff(state.arrived.value);
        askNext();
      } else if (state.arrived?.done === true && flights.length === 0) {
        return;
      } else {
        await new Promise<void>((resolve) => {
          wake = resolve;
        });
      }
    }
  } finally {
    signal.removeEventListener("abort", abort);
  }
}

/** Takes out those that are done; of an order, those before the first that is not. */
function takeLanded<Outcome>(flights: Flight<Outcome>[], isOrdered: boolean): readonly Outcome[] {
  const outcomes: Outcome[] = [];
  for (let index = 0; index < flights.length; ) {
    const landed = flights[index]?.landed;
    if (landed !== undefined) {
      flights.splice(index, 1);
      outcomes.push(landed.outcome);
    } else if (isOrdered) break;
    else index += 1;
  }
  return outcomes;
}
