/**
 * Vectors in a file of equal slots, read from front to back by every search: float32, little-endian, each slot filled
 * up with zeros. Which picture a slot belongs to is known elsewhere; one that is free is all zeros.
 */
import {
  closeSync,
  constants,
  fdatasyncSync,
  fstatSync,
  ftruncateSync,
  openSync,
  readSync,
  writeSync,
} from "node:fs";
import { createScoreKernel, strideOf } from "../vector/score-kernel.ts";

export interface VectorSlots extends Disposable {
  /** How many the file has. */
  count(dimensions: number): number;
  /** @returns nothing where the file ends before. */
  read(slot: number, dimensions: number): Float32Array | undefined;
  write(slot: number, vector: Float32Array): void;
  /** Overwrites a slot. */
  clear(slot: number, dimensions: number): void;
  /** Ends the file behind so many slots. */
  truncate(count: number, dimensions: number): void;
  /** From then on what was written outlasts a power cut. */
  sync(): void;
  /**
   * The slots whose vectors are the most like the query.
   *
   * @param query float32, [dimensions], not zero.
   * @returns at least `count` of them where there are so many, in no order; none that is free.
   */
  nearest(query: Float32Array, count: number): number[];
}

/** Opens the file, which is made where it is missing, readable by this user alone. @throws Error of the file system. */
export function openVectorSlots(path: string): VectorSlots {
  const file = openSync(path, constants.O_RDWR | constants.O_CREAT, 0o600);
  const write = (slot: number, floats: Float32Array, dimensions: number) => {
    const bytes = new Uint8Array(strideOf(dimensions));
    bytes.set(new Uint8Array(floats.buffer, floats.byteOffset, floats.byteLength));
    writeSync(file, bytes, 0, bytes.length, slot * bytes.length);
  };
  const count = (dimensions: number) => Math.floor(fstatSync(file).size / strideOf(dimensions));
  return {
    count,
    read: (slot, dimensions) => {
      const floats = new Float32Array(dimensions);
      const bytes = new Uint8Array(floats.buffer);
      const read = readSync(file, bytes, 0, bytes.length, slot * strideOf(dimensions));
      return read === bytes.length ? floats : undefined;
    },
    write: (slot, vector) => write(slot, vector, vector.length),
    clear: (slot, dimensions) => write(slot, new Float32Array(), dimensions),
    truncate: (slots, dimensions) => ftruncateSync(file, slots * strideOf(dimensions)),
    sync: () => fdatasyncSync(file),
    nearest: (query, wanted) => bestOf(scoresOf(file, query, count(query.length)), wanted),
    [Symbol.dispose]: () => closeSync(file),
  };
}

/** The cosine of every slot with the query; NaN of one that is free. */
function scoresOf(file: number, query: Float32Array, slots: number): Float32Array {
  const kernel = createScoreKernel(query);
  const stride = strideOf(query.length);
  const scores = new Float32Array(slots).fill(Number.NaN);
  for (let at = 0; at < slots; ) {
    const read = readSync(file, kernel.block, 0, kernel.block.length, at * stride);
    const whole = Math.min(Math.floor(read / stride), slots - at);
    // Another process may have made the file shorter.
    if (whole === 0) break;
    kernel.score(whole, scores.subarray(at, at + whole));
    at += whole;
  }
  return scores;
}

/** Of a hundred thousand scores in 1 ms: sorting numbers alone is fast, and the rest is one loop. */
function bestOf(scores: Float32Array, wanted: number): number[] {
  // NaN is sorted behind every number.
  const ranked = scores.slice().sort();
  let last = ranked.length - 1;
  while (Number.isNaN(ranked[last])) last -= 1;
  const least = ranked[Math.max(0, last + 1 - wanted)];
  const best: number[] = [];
  if (last < 0 || least === undefined) return best;
  for (let slot = 0; slot < scores.length; slot += 1) {
    if ((scores[slot] ?? Number.NaN) >= least) best.push(slot);
  }
  return best;
}
