/** A memory of values by their keys, with a bound in bytes: what was asked for longest ago makes room. */
export interface RecentlyUsed<Value> {
  get(key: string): Value | undefined;
  /** Remembers a value, in the place of the one that was there. */
  set(key: string, value: Value, bytes: number): void;
  delete(key: string): void;
}

/** Makes a memory of nothing yet. */
export function createRecentlyUsed<Value>(maxBytes: number): RecentlyUsed<Value> {
  // In the order of their last use.
  const entries = new Map<string, { readonly value: Value; readonly bytes: number }>();
  let held = 0;

  function remove(key: string): void {
    held -= entries.get(key)?.bytes ?? 0;
    entries.delete(key);
  }

  return {
    get: (key) => {
      const entry = entries.get(key);
      if (entry === undefined) return undefined;
      entries.delete(key);
      entries.set(key, entry);
      return entry.value;
    },
    set: (key, value, bytes) => {
      remove(key);
      entries.set(key, { value, bytes });
      held += bytes;
      for (const oldest of entries.keys()) {
        if (held <= maxBytes) return;
        remove(oldest);
      }
    },
    delete: remove,
  };
}
