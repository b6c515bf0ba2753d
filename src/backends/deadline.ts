/** A task that outlived its deadline. The work itself may still go on. */
export class DeadlineError extends Error {
  override readonly name = "DeadlineError";
}

/**
 * Waits for `work`, but not longer than `timeoutMs`.
 *
 * @throws DeadlineError with `message` when the time is up; whatever `work` throws before that.
 */
export async function inTime<T>(work: Promise<T>, timeoutMs: number, message: string): Promise<T> {
  const late = Promise.withResolvers<never>();
  const timer = setTimeout(() => late.reject(new DeadlineError(message)), timeoutMs);
  try {
    return await Promise.race([work, late.promise]);
  } finally {
    clearTimeout(timer);
  }
}
