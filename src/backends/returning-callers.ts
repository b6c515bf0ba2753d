/**
 * Callers who just had their vectors and come with their next images or texts: some milliseconds later, when the
 * worker that made them has long taken one of them alone, unless it waits.
 */
import type { InputKind } from "./job.ts";

/** What tells whether a few inputs are left for those that come. */
export interface ReturningCallers {
  /** To be called when a worker has answered so many inputs. @param share how many were a worker's share, if all came back. */
  answered(inputs: number, share: number): void;
  /** To be called when an input has come. */
  came(): void;
  /** Whether so many that wait are too few to begin with now, while another worker is at something. */
  mayBeMore(waiting: number): boolean;
}

interface Rule {
  /** So many answers at once are of callers who keep the workers busy. */
  readonly several: number;
  /** How long the first of them is waited for. */
  readonly firstMs: number;
  /** How long another is waited for, after each that came; undefined where all have the time of the first. */
  readonly nextMs?: number;
  /** So many that wait are worth an inference while others are at work. */
  readonly enough: (answered: number, share: number) => number;
}

/** Of those that were answered as many as there would be if all workers had the same, in whole numbers. */
function aboutShare(answered: number, share: number): number {
  return Math.min(Math.max(answered, Math.floor(share)), Math.ceil(share));
}

const rules: Readonly<Record<InputKind, Rule>> = {
  /**
   * An image of four takes 38 ms of a core, of two 41, one alone 52. The main thread needs a millisecond for each that
   * comes: so long they are worth waiting for.
   */
  image: { several: 1, firstMs: 8, nextMs: 4, enough: aboutShare },
  /**
   * Of 7 tokens each, 12 take a tenth less time apiece than 8 do, and two thirds less than one that is alone: an
   * inference takes 6 ms beside its tokens, which they share.
   */
  text: { several: 4, firstMs: 5, enough: () => 12 },
};

/** Waits for nobody until several inputs have been answered. @param onOver called when nobody is waited for any longer. */
export function createReturningCallers(kind: InputKind, onOver: () => void): ReturningCallers {
  const { several, firstMs, nextMs, enough } = rules[kind];
  let timer: ReturnType<typeof setTimeout> | undefined;
  let wanted = 0;
  const waitFor = (ms: number) => {
    clearTimeout(timer);
    timer = setTimeout(() => {
      timer = undefined;
      onOver();
    }, ms);
  };
  return {
    answered: (inputs, share) => {
      if (inputs < several) return;
      wanted = enough(inputs, share);
      waitFor(firstMs);
    },
    came: () => {
      if (timer !== undefined && nextMs !== undefined) waitFor(nextMs);
    },
    mayBeMore: (waiting) => timer !== undefined && waiting < wanted,
  };
}
