/** Something of which there is so much, divided among clients so that none of them can take it all. */

export interface ClientShares {
  /** How much is taken. */
  taken(): number;
  /** Whether there is so much left at all. */
  has(amount: number): boolean;
  /** Whether this client may have so much more of what is left. */
  isDue(client: string, amount: number): boolean;
  take(client: string, amount: number): void;
  /** Gives back what was taken. */
  give(client: string, amount: number): void;
}

/**
 * Makes the shares. A client may hold as much as is free (a dynamic threshold: Choudhury, Hahne 1998, "Dynamic
 * queue length thresholds for shared-memory packet switches"): alone it gets half, and of n that all want as
 * much as they can get, each has 1/(n+1), so that there is as much for one more.
 */
export function createClientShares(total: number): ClientShares {
  /** What each client holds; those that hold nothing are forgotten. */
  const held = new Map<string, number>();
  let taken = 0;

  function change(client: string, amount: number): void {
    taken += amount;
    const own = (held.get(client) ?? 0) + amount;
    if (own === 0) held.delete(client);
    else held.set(client, own);
  }

  return {
    taken: () => taken,
    has: (amount) => taken + amount <= total,
    isDue: (client, amount) => (held.get(client) ?? 0) + amount <= total - taken,
    take: change,
    give: (client, amount) => change(client, -amount),
  };
}
