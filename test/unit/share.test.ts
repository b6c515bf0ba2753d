/** Places for those who wait for the same somebody else. */
import { expect, test } from "bun:test";
import { createShare } from "../../src/core/share.ts";

/** A share of two places, on a clock that the test owns. */
function startShare() {
  let nowMs = 0;
  const share = createShare({ places: 2, whom: "NVIDIA", now: () => nowMs });
  const hold = () => {
    const { promise, resolve, reject } = Promise.withResolvers<string>();
    return { outcome: share.run(() => promise), resolve, reject };
  };
  return { share, hold, pass: (ms: number) => (nowMs += ms) };
}

test("one more than there are places is refused at once, without being begun", async () => {
  const { share, hold } = startShare();
  const held = [hold(), hold()];
  let isBegun = false;
  const begin = async () => {
    isBegun = true;
  };
  await expect(share.run(begin)).rejects.toMatchObject({ code: "overloaded", retryAfterS: 1 });
  expect(share.refusal()?.message).toContain("NVIDIA");
  expect(isBegun).toBe(false);
  for (const one of held) one.resolve("done");
  expect(await Promise.all(held.map(({ outcome }) => outcome))).toEqual(["done", "done"]);
});

test("work that fails gives its place back too", async () => {
  const { share, hold } = startShare();
  const [first, second] = [hold(), hold()];
  first.reject(new Error("the host hung up"));
  await expect(first.outcome).rejects.toThrow("the host hung up");
  expect(share.refusal()).toBeUndefined();
  second.resolve("");
  await second.outcome;
});

test("the time to come back follows from how long places were held", async () => {
  const { share, hold, pass } = startShare();
  for (let round = 0; round < 100; round += 1) {
    const { outcome, resolve } = hold();
    pass(10_000);
    resolve("");
    await outcome;
  }
  const held = [hold(), hold()];
  expect(share.refusal()).toMatchObject({ retryAfterS: 5 });
  for (const one of held) one.resolve("");
  await Promise.all(held.map(({ outcome }) => outcome));
});

test("those who still wait count: with a host that never answers the time to come back grows", async () => {
  const { share, hold, pass } = startShare();
  const held = [hold(), hold()];
  expect(share.refusal()).toMatchObject({ retryAfterS: 1 });
  pass(20_000);
  expect(share.refusal()).toMatchObject({ retryAfterS: 20 });
  for (const one of held) one.resolve("");
  await Promise.all(held.map(({ outcome }) => outcome));
});

test("places that are held for moments are free in a second at most", async () => {
  const { share, hold, pass } = startShare();
  for (let round = 0; round < 20; round += 1) {
    const { outcome, resolve } = hold();
    pass(20);
    resolve("");
    await outcome;
  }
  const held = [hold(), hold()];
  expect(share.refusal()).toMatchObject({ retryAfterS: 1 });
  for (const one of held) one.resolve("");
  await Promise.all(held.map(({ outcome }) => outcome));
});

test("all that one caller waits for takes one place, until the last of it ends", async () => {
  const { share } = startShare();
  const caller = {};
  const { promise, resolve } = Promise.withResolvers<void>();
  const own = [1, 2, 3].map(() => share.run(() => promise, caller));
  const short = share.run(async () => "done", caller);
  expect(await short).toBe("done");
  expect(share.refusal()).toBeUndefined();
  const other = share.run(() => promise);
  expect(share.refusal()?.code).toBe("overloaded");
  // It has its place already.
  expect(await share.run(async () => "done", caller)).toBe("done");
  resolve();
  await Promise.all([...own, other]);
  expect(share.refusal()).toBeUndefined();
});
