import type { ProblemMessage } from "../src/backends/protocol.ts";
import { Problem, stackOf } from "../src/errors.ts";

/**
 * What crosses the thread boundary for the failure of one image. What nobody expected becomes an
 * `internal-error` of that image, so that its neighbours in the batch go on.
 */
export function problemMessage(error: unknown): ProblemMessage {
  if (!(error instanceof Problem)) {
    return {
      code: "internal-error",
      detail: "The service made a mistake: report the request id to the operator.",
      cause: stackOf(error),
    };
  }
  const cause = error.cause === undefined ? {} : { cause: String(error.cause) };
  const faults = error.faults.length === 0 ? {} : { faults: error.faults };
  return { code: error.code, detail: error.message, ...cause, ...faults };
}
