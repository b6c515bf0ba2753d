/** Names that are known already, in little memory: of a million it takes 32 to 64 MB, however long they are. */

/** Words of 64 bits that stand for one name. */
const wordsPerName = 2;
const firstPlaces = 1024;

/**
 * A set of names that keeps 128 bits of each (open addressing, at most half full). That two of ten million names are
 * taken for one has a probability of 1e-25.
 */
export class KnownNames {
  #words = new BigUint64Array(firstPlaces * wordsPerName);
  #size = 0;

  /** How many names there are. */
  get size(): number {
    return this.#size;
  }

  has(name: string): boolean {
    const [first, second] = wordsOf(name);
    return this.#words[this.#placeOf(first, second)] === first;
  }

  add(name: string): void {
    const [first, second] = wordsOf(name);
    if (this.#put(first, second)) this.#size += 1;
    if (this.#size * 2 * wordsPerName > this.#words.length) this.#grow();
  }

  /** @returns whether it was not there. */
  #put(first: bigint, second: bigint): boolean {
    const place = this.#placeOf(first, second);
    if (this.#words[place] === first) return false;
    this.#words[place] = first;
    this.#words[place + 1] = second;
    return true;
  }

  /** Where a name is, or would be. */
  #placeOf(first: bigint, second: bigint): number {
    const places = this.#words.length / wordsPerName;
    let place = Number(first % BigInt(places)) * wordsPerName;
    for (;;) {
      const found = this.#words[place];
      if (found === 0n || (found === first && this.#words[place + 1] === second)) return place;
      place = (place + wordsPerName) % this.#words.length;
    }
  }

  #grow(): void {
    const old = this.#words;
    this.#words = new BigUint64Array(old.length * 2);
    for (let place = 0; place < old.length; place += wordsPerName) {
      const [first = 0n, second = 0n] = old.subarray(place, place + wordsPerName);
      if (first !== 0n) this.#put(first, second);
    }
  }
}

/** 0 stands for a free place. */
function wordsOf(name: string): [bigint, bigint] {
  return [BigInt(Bun.hash.wyhash(name, 1n)) || 1n, BigInt(Bun.hash.wyhash(name, 2n))];
}
