/** One of several equal parts of the work, so that any job runner can divide it over machines. */

export interface Shard {
  /** From 1. */
  readonly index: number;
  readonly count: number;
}

/** Far more machines than anybody has. */
const maxShards = 1_000_000;

/** Reads `3/16`. @returns nothing where it is no such text. */
export function parseShard(text: string): Shard | undefined {
  const [, index, count] = /^(\d{1,7})\/(\d{1,7})$/.exec(text) ?? [];
  const shard = { index: Number(index), count: Number(count) };
  return shard.index >= 1 && shard.index <= shard.count && shard.count <= maxShards
    ? shard
    : undefined;
}

/**
 * Whether a thing is in a part: exactly one of `count` has it, on every machine and in every version. It depends on
 * the key alone, so neither on the order of a listing nor on what else is listed: the first 48 bits of the key's
 * SHA-256, as a big-endian number, modulo `count`.
 *
 * @param key the path inside the listed folder; else the source itself.
 */
export function isInShard({ index, count }: Shard, key: string): boolean {
  const digest = new Bun.CryptoHasher("sha256").update(key).digest();
  return digest.readUIntBE(0, 6) % count === index - 1;
}
