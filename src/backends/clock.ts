/** Time as an argument, so that tests own it. */
export interface Clock {
  /** Milliseconds on the scale of `performance.now()`. */
  now(): number;
  /**
   * Waits.
   *
   * @throws the signal's reason as soon as it aborts.
   */
  sleep(ms: number, signal: AbortSignal): Promise<void>;
}

/** The process's own clock. */
export const processClock: Clock = {
  now: () => performance.now(),
  sleep(ms, signal) {
    const { promise, resolve, reject } = Promise.withResolvers<void>();
    const timer = setTimeout(() => {
      signal.removeEventListener("abort", stop);
      resolve();
    }, ms);
    function stop() {
      clearTimeout(timer);
      reject(signal.reason);
    }
    if (signal.aborted) stop();
    else signal.addEventListener("abort", stop, { once: true });
    return promise;
  },
};
