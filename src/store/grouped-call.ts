/**
 * Makes a call that many share. Whoever asks gets the end of one that begins after they asked: those who ask while
 * one runs share the next, so that no two run at once (group commit).
 *
 * @returns a function that resolves and throws as the call does.
 */
export function createGroupedCall(call: () => Promise<void>): () => Promise<void> {
  let last = Promise.resolve();
  let next: Promise<void> | undefined;
  const begin = () => {
    next = undefined;
    last = call();
    return last;
  };
  return () => {
    next ??= last.then(begin, begin);
    return next;
  };
}
