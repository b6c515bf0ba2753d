/** What is divided among clients. */
import { expect, test } from "bun:test";
import fc from "fast-check";
import { createClientShares } from "../../src/core/client-shares.ts";

/** As much as the client can get, one by one. */
function takeAll(shares: ReturnType<typeof createClientShares>, client: string): number {
  let count = 0;
  while (shares.isDue(client, 1)) {
    shares.take(client, 1);
    count += 1;
  }
  return count;
}

test("one client gets half, a second half of the rest, and nobody is left without a share", () => {
  const shares = createClientShares(512);
  expect(takeAll(shares, "a")).toBe(256);
  expect(takeAll(shares, "b")).toBe(128);
  expect(takeAll(shares, "c")).toBe(64);
  expect(shares.isDue("a", 1)).toBe(false);
  for (let one = 0; one < 64; one += 1) shares.give("c", 1);
  expect(shares.isDue("c", 64)).toBe(true);
});

test("whatever clients take and give back, no more is out than there is, and all comes back", () => {
  const step = fc.record({
    client: fc.constantFrom("a", "b", "c"),
    amount: fc.integer({ min: 0, max: 40 }),
    isGift: fc.boolean(),
  });
  fc.assert(
    fc.property(fc.array(step, { maxLength: 200 }), (steps) => {
      const shares = createClientShares(100);
      const out: { client: string; amount: number }[] = [];
      for (const { client, amount, isGift } of steps) {
        const back = isGift ? out.pop() : undefined;
        if (back !== undefined) shares.give(back.client, back.amount);
        if (isGift || !shares.isDue(client, amount)) continue;
        shares.take(client, amount);
        out.push({ client, amount });
      }
      const taken = out.reduce((sum, { amount }) => sum + amount, 0);
      expect(taken).toBeLessThanOrEqual(100);
      expect(shares.has(100 - taken)).toBe(true);
      expect(shares.has(101 - taken)).toBe(false);
      for (const { client, amount } of out) shares.give(client, amount);
      expect(shares.isDue("a", 100)).toBe(true);
    }),
  );
});
