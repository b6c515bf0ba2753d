import { expect, test } from "bun:test";
import fc from "fast-check";
import { createRateLimiter } from "../../src/core/rate-limit.ts";
import { createFakeClock } from "../support/fake-clock.ts";

function limiterOf(requests: number, windowS: 1 | 60 | 3600, maxClients = 1000) {
  const clock = createFakeClock("wait");
  const limiter = createRateLimiter({ limit: { requests, windowS }, maxClients, now: clock.now });
  /** How many requests are let in, one after the other, without time passing. */
  const burst = (client: string, tries: number) => {
    const turns = Array.from({ length: tries }, () => limiter.take(client));
    return turns.filter(({ isAllowed }) => isAllowed).length;
  };
  return { clock, limiter, burst };
}

test("a client may send the whole limit at once, and not one more", () => {
  for (const windowS of [1, 60, 3600] as const) {
    for (const requests of [1, 3, 7, 100, 999_999]) {
      const { burst } = limiterOf(requests, windowS);
      const tries = Math.min(requests, 1000);
      expect(burst("a", tries)).toBe(tries);
      if (tries === requests) expect(burst("a", 5)).toBe(0);
    }
  }
});

test("then requests come back one by one, evenly over the window", async () => {
  const { clock, burst, limiter } = limiterOf(6, 60);
  expect(burst("a", 10)).toBe(6);
  await clock.advance(9_999);
  expect(limiter.take("a")).toMatchObject({ isAllowed: false, remaining: 0 });
  await clock.advance(1);
  expect(burst("a", 10)).toBe(1);
  await clock.advance(30_000);
  expect(burst("a", 10)).toBe(3);
  await clock.advance(3_600_000);
  expect(burst("a", 10)).toBe(6);
});

test("each answer says how many are left, and when there is one more", () => {
  const { limiter } = limiterOf(3, 60);
  expect(Array.from({ length: 5 }, () => limiter.take("a"))).toEqual([
    { isAllowed: true, remaining: 2, nextS: 20 },
    { isAllowed: true, remaining: 1, nextS: 20 },
    { isAllowed: true, remaining: 0, nextS: 20 },
    { isAllowed: false, remaining: 0, nextS: 20 },
    { isAllowed: false, remaining: 0, nextS: 20 },
  ]);
});

test("a client that comes back when it was told is let in", async () => {
  for (const requests of [1, 7, 13, 999]) {
    const { clock, limiter, burst } = limiterOf(requests, 60);
    burst("a", requests);
    for (let round = 0; round < 5; round += 1) {
      const { isAllowed, nextS } = limiter.take("a");
      expect(isAllowed).toBe(false);
      await clock.advance(Math.ceil(nextS * 1000));
      expect(limiter.take("a").isAllowed).toBe(true);
    }
  }
});

test("a client's requests are nobody else's", () => {
  const { burst } = limiterOf(3, 60);
  expect(burst("a", 10)).toBe(3);
  expect(burst("b", 10)).toBe(3);
});

test("in no window more than twice the limit is let in, whenever the requests come", async () => {
  await fc.assert(
    fc.asyncProperty(
      fc.integer({ min: 1, max: 20 }),
      fc.array(fc.integer({ min: 0, max: 400 }), { minLength: 30, maxLength: 120 }),
      async (requests, pausesMs) => {
        const { clock, limiter } = limiterOf(requests, 1);
        const allowedAt: number[] = [];
        for (const pauseMs of pausesMs) {
          await clock.advance(pauseMs);
          if (limiter.take("a").isAllowed) allowedAt.push(clock.now());
        }
        for (const [index, at] of allowedAt.entries()) {
          const inWindow = allowedAt.slice(index).filter((one) => one < at + 1000);
          expect(inWindow.length).toBeLessThanOrEqual(2 * requests);
        }
      },
    ),
    { numRuns: 30 },
  );
});

test("who was silent longest is forgotten first where clients are too many, and others are not", () => {
  const { burst } = limiterOf(3, 60, 4);
  for (const client of ["a", "b", "c", "d"]) expect(burst(client, 9)).toBe(3);
  // It asks again, and is refused: now b has been silent longest.
  expect(burst("a", 1)).toBe(0);
  expect(burst("e", 9)).toBe(3);
  for (const client of ["a", "c", "d", "e"]) expect(burst(client, 1)).toBe(0);
  expect(burst("b", 9)).toBe(3);
});

test("newcomers are let in, however many there are", () => {
  const { burst } = limiterOf(1, 3600, 10);
  for (let client = 0; client < 1000; client += 1) expect(burst(`client ${client}`, 1)).toBe(1);
});
