/** How late the event loop is: what runs on the main thread keeps everybody waiting. */

/** How often it is looked, ms. A delay is seen whole if it ends a look, and so every delay longer than this is seen. */
const intervalMs = 100;

/**
 * Tells now and then how many ms later than planned a timer ran. A timer and a histogram rather than
 * `monitorEventLoopDelay`: its percentiles can be neither added up over instances nor read twice.
 *
 * @param tell called at every look, with 0 where the loop is on time.
 * @returns the way to stop.
 */
export function watchEventLoop(tell: (delayMs: number) => void): () => void {
  let dueAt = performance.now() + intervalMs;
  const timer = setInterval(() => {
    const now = performance.now();
    tell(Math.max(0, now - dueAt));
    dueAt = now + intervalMs;
  }, intervalMs);
  timer.unref();
  return () => clearInterval(timer);
}
