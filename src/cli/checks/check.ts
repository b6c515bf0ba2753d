/** One thing that `doctor` looks at. */
import { DeadlineError, inTime } from "../../backends/deadline.ts";
import { messageOf } from "../../errors.ts";

export type Status = "ok" | "warn" | "fail";

/** What was found, and what to do about it. */
export interface Finding {
  readonly status: Status;
  readonly found: string;
  /** What to change; nothing where all is well. */
  readonly mend?: string;
}

export interface Check {
  readonly name: string;
  /** Longest time that it may take; 5 s unless it says otherwise. */
  readonly timeoutMs?: number;
  /** @param signal aborts at the deadline, and when the user interrupts. */
  readonly run: (signal: AbortSignal) => Finding | Promise<Finding>;
}

const defaultTimeoutMs = 5_000;

export function ok(found: string): Finding {
  return { status: "ok", found };
}

/** What the service can live with. */
export function warn(found: string, mend: string): Finding {
  return { status: "warn", found, mend };
}

/** What keeps the service, or a part of it, from working. */
export function fail(found: string, mend: string): Finding {
  return { status: "fail", found, mend };
}

/** Runs one check to its end or its deadline. Never throws: a check that does has failed. */
export async function runCheck(check: Check, interrupted: AbortSignal): Promise<Finding> {
  const { run, timeoutMs = defaultTimeoutMs } = check;
  const late = new AbortController();
  const signal = AbortSignal.any([interrupted, late.signal]);
  try {
    return await inTime(Promise.try(run, signal), timeoutMs, "late");
  } catch (error) {
    if (error instanceof DeadlineError) {
      late.abort();
      return fail(`no answer within ${timeoutMs / 1000} s`, "something on this host hangs");
    }
    return fail(messageOf(error), "this was not expected: report it with this line");
  }
}
