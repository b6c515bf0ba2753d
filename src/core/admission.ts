/** Who may come in: a bound on the requests that arrive, and one on those that are in the house. */
import type { InputKind } from "../backends/job.ts";
import { Problem } from "../errors.ts";

export interface AdmissionOptions {
  /** Requests whose body arrives at once. */
  readonly maxArriving: number;
  /** Bytes of such bodies that are in memory at once. */
  readonly maxArrivingBytes: number;
  /** Requests in the house at once: fetching, waiting or in a worker. */
  readonly limit: number;
  /** ms until a job for such an input would start if it arrived now. */
  readonly expectedWaitMs: (kind: InputKind) => number;
  /** ms that a job may wait at most. */
  readonly maxWaitMs: number;
}

/** A place that is taken. */
export interface Ticket {
  /** Gives the place back; later calls do nothing. */
  release(): void;
}

/** The place of a request whose body arrives. */
export interface Arrival extends Ticket {
  /**
   * Takes memory for a piece of the body, until the release.
   *
   * @throws Problem `overloaded` when all arriving bodies together hold too much.
   */
  hold(bytes: number): void;
}

export interface Admission {
  /**
   * Lets a request with such inputs send its body. Clients that send slowly take no place in the house.
   *
   * @throws Problem `overloaded`, at once, when there would be no place for it now.
   */
  arrive(kinds: readonly InputKind[]): Arrival;
  /** @throws Problem `overloaded`, at once, when there is no place or the wait would be too long. */
  enter(kinds: readonly InputKind[]): Ticket;
}

/** Makes the gate. */
export function createAdmission(options: AdmissionOptions): Admission {
  const { limit, maxArriving, maxArrivingBytes, maxWaitMs, expectedWaitMs } = options;
  const arriving = createPlaces(maxArriving);
  const inside = createPlaces(limit);
  let heldBytes = 0;

  function refuseWhen(isFull: boolean, kinds: readonly InputKind[]): void {
    const waitMs = Math.max(...kinds.map(expectedWaitMs));
    if (!isFull && waitMs <= maxWaitMs) return;
    const retryAfterS = Math.max(1, Math.ceil(waitMs / 1000));
    const detail = `The service is at capacity: come back in ${retryAfterS} s.`;
    throw new Problem("overloaded", detail, { retryAfterS });
  }

  return {
    arrive: (kinds) => {
      refuseWhen(arriving.isFull() || inside.isFull(), kinds);
      const place = arriving.take();
      let ownBytes = 0;
      return {
        hold: (bytes) => {
          refuseWhen(heldBytes + bytes > maxArrivingBytes, kinds);
          heldBytes += bytes;
          ownBytes += bytes;
        },
        release: () => {
          heldBytes -= ownBytes;
          ownBytes = 0;
          place.release();
        },
      };
    },
    enter: (kinds) => {
      refuseWhen(inside.isFull(), kinds);
      return inside.take();
    },
  };
}

function createPlaces(count: number) {
  let taken = 0;
  return {
    isFull: () => taken >= count,
    take: (): Ticket => {
      taken += 1;
      let isHeld = true;
      return {
        release: () => {
          if (isHeld) taken -= 1;
          isHeld = false;
        },
      };
    },
  };
}
