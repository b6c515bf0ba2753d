import { expect, test } from "bun:test";
import { createGroupedCall } from "../../src/store/grouped-call.ts";

/** A call whose ends are the test's to say. */
function setUp() {
  const calls: PromiseWithResolvers<void>[] = [];
  const grouped = createGroupedCall(() => {
    const call = Promise.withResolvers<void>();
    calls.push(call);
    return call.promise;
  });
  return { calls, grouped };
}

/** What has resolved after all that could. */
async function doneOf(promises: readonly Promise<void>[]): Promise<readonly string[]> {
  await Bun.sleep(0);
  return promises.map((promise) => Bun.peek.status(promise));
}

test("those who ask while a call runs share the next one, which begins after they asked", async () => {
  const { calls, grouped } = setUp();
  const first = grouped();
  await Bun.sleep(0);
  const others = [grouped(), grouped(), grouped()];
  expect(await doneOf([first, ...others])).toEqual(["pending", "pending", "pending", "pending"]);
  expect(calls).toHaveLength(1);
  calls[0]?.resolve();
  expect(await doneOf([first, ...others])).toEqual(["fulfilled", "pending", "pending", "pending"]);
  expect(calls).toHaveLength(2);
  calls[1]?.resolve();
  expect(await doneOf(others)).toEqual(["fulfilled", "fulfilled", "fulfilled"]);
  expect(calls).toHaveLength(2);
});

test("a call that fails fails for those who share it, and the next one is made", async () => {
  const { calls, grouped } = setUp();
  const first = grouped();
  await Bun.sleep(0);
  const second = grouped();
  calls[0]?.reject(new Error("the disk is gone"));
  await expect(first).rejects.toThrow("the disk is gone");
  calls[1]?.resolve();
  await expect(second).resolves.toBeUndefined();
});
