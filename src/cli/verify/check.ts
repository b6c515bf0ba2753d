/** One thing that `models verify` looks at. */

export type Verdict = "right" | "wrong" | "missing" | "left out";

/** What was found out about it. */
export interface Check {
  readonly what: string;
  readonly verdict: Verdict;
  /** In words; for a number, who published what it is compared with. */
  readonly found: string;
  /** Present where it is a number. */
  readonly numbers?: {
    readonly expected: number;
    readonly got: number;
    readonly difference: number;
    readonly allowed: number;
  };
}

/** A check that could not be made. */
export function leftOut(what: string, why: string): Check {
  return { what, verdict: "left out", found: why };
}

/** A check of a number: right as far as it is near enough, so never where it is none. */
export function numberCheck(
  what: string,
  numbers: NonNullable<Check["numbers"]>,
  source: string,
): Check {
  const isNear = numbers.difference <= numbers.allowed;
  return { what, verdict: isNear ? "right" : "wrong", found: source, numbers };
}
