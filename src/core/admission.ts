/**
 * Who may come in: a bound on the requests that arrive, one on those that are in the house, and one on the bytes
 * that all of them hold in memory.
 */
import type { InputKind } from "../backends/job.ts";
import { Problem } from "../errors.ts";

export interface AdmissionOptions {
  /** Requests whose body arrives at once. */
  readonly maxArriving: number;
  /** Bytes that arriving bodies and requests in the house hold in memory at once. */
  readonly maxHeldBytes: number;
  /** Requests in the house at once: fetching, waiting or in a worker. */
  readonly limit: number;
  /** ms until a job for such an input would start if it arrived now. */
  readonly expectedWaitMs: (kind: InputKind) => number;
  /** ms that a job may wait at most. */
  readonly maxWaitMs: number;
}

/** The place of one request, from its head to its answer. */
export interface Ticket {
  /**
   * Takes memory for bytes that came: pieces of the body, or what was fetched. It is held until the release.
   *
   * @throws Problem `overloaded` when all requests together would hold too much.
   */
  hold(bytes: number): void;
  /**
   * Lets the request into the house, once its body is there: its place among those that arrive is free again.
   *
   * @throws Problem `overloaded`, at once, when there is no place or the wait would be too long.
   */
  enter(): void;
  /** Gives place and memory back; later calls do nothing. */
  release(): void;
}

export interface Admission {
  /**
   * Lets a request with such inputs send its body. Clients that send slowly take no place in the house.
   *
   * @throws Problem `overloaded`, at once, when there would be no place for it now.
   */
  arrive(kinds: readonly InputKind[]): Ticket;
}

/** Makes the gate. */
export function createAdmission(options: AdmissionOptions): Admission {
  const { limit, maxArriving, maxHeldBytes, maxWaitMs, expectedWaitMs } = options;
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
      let leave = arriving.take();
      let ownBytes = 0;
      return {
        hold: (bytes) => {
          refuseWhen(heldBytes + bytes > maxHeldBytes, kinds);
          heldBytes += bytes;
          ownBytes += bytes;
        },
        enter: () => {
          refuseWhen(inside.isFull(), kinds);
          leave();
          leave = inside.take();
        },
        release: () => {
          leave();
          heldBytes -= ownBytes;
          ownBytes = 0;
        },
      };
    },
  };
}

function createPlaces(count: number) {
  let taken = 0;
  return {
    isFull: () => taken >= count,
    /** @returns what gives the place back; later calls of it do nothing. */
    take: (): (() => void) => {
      taken += 1;
      let isHeld = true;
      return () => {
        if (isHeld) taken -= 1;
        isHeld = false;
      };
    },
  };
}
