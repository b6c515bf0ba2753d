import type { ProblemMessage } from "../src/backends/protocol.ts";
import { Problem } from "../src/errors.ts";

/**
 * What crosses the thread boundary for an expected failure.
 *
 * @throws the error itself, if nobody expected it.
 */
export function problemMessage(error: unknown): ProblemMessage {
  if (!(error instanceof Problem)) throw error;
  const cause = error.cause === undefined ? {} : { cause: String(error.cause) };
  return { code: error.code, detail: error.message, ...cause };
}
