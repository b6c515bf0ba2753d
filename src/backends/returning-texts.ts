/**
 * Callers who just had the vectors of their texts and come with their next ones: a millisecond or some later, when
 * the worker that made them has long taken one of them alone, unless it waits.
 */

/** What tells whether a few texts are left for those that come. */
export interface ReturningTexts {
  /** To be called when a worker has answered so many texts. */
  answered(texts: number): void;
  /** Whether so many that wait are too few to begin with now, while another worker is at something. */
  mayBeMore(waiting: number): boolean;
}

export interface ReturningTextsOptions {
  /** Most texts that are taken together. */
  readonly maxBatch: number;
  /** Called when nobody is waited for any longer. */
  readonly onOver: () => void;
}

/**
 * Texts that are worth an inference while others are at work: of 7 tokens each, 12 take a tenth less time apiece
 * than 8 do, and two thirds less than one that is alone.
 */
const enoughTexts = 12;
/** How long fewer are left: an inference takes 6 ms beside its tokens, which they share then. */
const waitMs = 5;
/** So many answers at once are of callers who keep the workers busy. */
const several = 4;

/** Waits for nobody until several texts have been answered. */
export function createReturningTexts({ maxBatch, onOver }: ReturningTextsOptions): ReturningTexts {
  let timer: ReturnType<typeof setTimeout> | undefined;
  return {
    answered: (texts) => {
      if (texts < several) return;
      clearTimeout(timer);
      timer = setTimeout(() => {
        timer = undefined;
        onOver();
      }, waitMs);
    },
    mayBeMore: (waiting) => timer !== undefined && waiting < Math.min(enoughTexts, maxBatch),
  };
}
