/**
 * Who may come in: a bound on the requests that arrive, one on those that are in the house, and one on the bytes
 * that all of them hold in memory. No client gets all of what arrives, nor of the memory.
 */
import type { InputKind } from "../backends/job.ts";
import { Problem } from "../errors.ts";
import { createClientShares } from "./client-shares.ts";
import { createHoldTimes } from "./hold-times.ts";

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
  /** A monotonic clock, ms. */
  readonly now: () => number;
}

/** The place of one request, from its head to its answer. */
export interface Ticket {
  /**
   * Takes memory for bytes that came: pieces of the body, or what was fetched. It is held until the release, unless given back.
   *
   * @throws Problem `overloaded` when all requests together would hold too much, or those of this client.
   */
  hold(bytes: number): void;
  /** Gives back some of the memory before the release: of an image that nobody needs any more. */
  giveBack(bytes: number): void;
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
   * @param client whoever counts as one client.
   * @param kinds none where it is not known yet: then only a full house refuses it.
   * @throws Problem `overloaded`, at once, when there would be no place for it now, or none for this client.
   */
  arrive(client: string, kinds: readonly InputKind[]): Ticket;
  /** How many requests send their body or are in the house, and the bytes that they hold. */
  load(): { readonly arriving: number; readonly inside: number; readonly heldBytes: number };
}

/** Makes the gate. */
export function createAdmission(options: AdmissionOptions): Admission {
  const { limit, maxArriving, maxHeldBytes, maxWaitMs, expectedWaitMs, now } = options;
  const arriving = createClientShares(maxArriving);
  const memory = createClientShares(maxHeldBytes);
  const arrivals = createHoldTimes(now);
  const stays = createHoldTimes(now);
  const tickets = createHoldTimes(now);
  let inside = 0;

  /** Nobody comes in where the house is full, or whatever waits there takes too long. */
  function refuseAtDoor(kinds: readonly InputKind[]): void {
    const waitMs = Math.max(0, ...kinds.map(expectedWaitMs));
    const isFull = inside >= limit;
    if (!isFull && waitMs <= maxWaitMs) return;
    throw atCapacity(Math.max(waitMs, isFull ? stays.nextReleaseMs() : 0));
  }

  function arrive(client: string): () => void {
    if (!arriving.has(1)) throw atCapacity(arrivals.nextReleaseMs());
    if (!arriving.isDue(client, 1)) throw beyondShare(arrivals.nextReleaseMs());
    arriving.take(client, 1);
    const end = arrivals.begin();
    return () => {
      arriving.give(client, 1);
      end();
    };
  }

  function enter(): () => void {
    inside += 1;
    const end = stays.begin();
    return () => {
      inside -= 1;
      end();
    };
  }

  function hold(client: string, bytes: number): void {
    if (!memory.has(bytes)) throw atCapacity(tickets.nextReleaseMs());
    if (!memory.isDue(client, bytes)) throw beyondShare(tickets.nextReleaseMs());
    memory.take(client, bytes);
  }

  return {
    load: () => ({ arriving: arriving.taken(), inside, heldBytes: memory.taken() }),
    arrive: (client, kinds) => {
      refuseAtDoor(kinds);
      let leave = arrive(client);
      const end = tickets.begin();
      let isOver = false;
      let ownBytes = 0;
      return {
        hold: (bytes) => {
          hold(client, bytes);
          ownBytes += bytes;
        },
        giveBack: (bytes) => {
          if (isOver) return;
          memory.give(client, bytes);
          ownBytes -= bytes;
        },
        enter: () => {
          refuseAtDoor(kinds);
          leave();
          leave = enter();
        },
        release: () => {
          if (isOver) return;
          isOver = true;
          leave();
          memory.give(client, ownBytes);
          end();
        },
      };
    },
  };
}

function atCapacity(waitMs: number): Problem {
  const retryAfterS = secondsOf(waitMs);
  const detail = `The service is at capacity: come back in ${retryAfterS} s.`;
  return new Problem("overloaded", detail, { retryAfterS });
}

function beyondShare(waitMs: number): Problem {
  const retryAfterS = secondsOf(waitMs);
  const detail = `Requests of this client hold as much as one client may: send fewer at once, or come back in ${retryAfterS} s.`;
  return new Problem("overloaded", detail, { retryAfterS });
}

function secondsOf(waitMs: number): number {
  return Math.max(1, Math.ceil(waitMs / 1000));
}
