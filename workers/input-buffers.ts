/** Memory of the model's input, used again: new memory is zeroed, and costs a page fault every 4 KiB. */
export interface InputBuffers {
  /** A buffer of at least so many floats, which may hold what was written to it before. */
  take(length: number): Float32Array<ArrayBuffer>;
  /** Gives a buffer back that nobody reads any more; one that is not given back is garbage. */
  giveBack(buffer: Float32Array<ArrayBuffer>): void;
}

/**
 * Makes the store, which has as many buffers as were ever in use at once.
 *
 * @param usualLength floats of a buffer; a longer one is made anew each time.
 */
export function createInputBuffers(usualLength: number): InputBuffers {
  const free: Float32Array<ArrayBuffer>[] = [];
  return {
    take: (length) =>
      (length <= usualLength ? free.pop() : undefined) ??
      new Float32Array(Math.max(length, usualLength)),
    giveBack: (buffer) => {
      if (buffer.length === usualLength) free.push(buffer);
    },
  };
}
