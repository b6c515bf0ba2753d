import { expect, test } from "bun:test";
import fc from "fast-check";
import { createRecentlyUsed, type RecentlyUsed } from "../../src/store/recently-used.ts";

const keys = ["a", "b", "c", "d", "e"];

/** The same in plain words: a list, in which the last one was used last. */
function createList(maxBytes: number): RecentlyUsed<number> {
  let list: { readonly key: string; readonly value: number; readonly bytes: number }[] = [];
  const without = (key: string) => list.filter((one) => one.key !== key);
  const held = () => list.reduce((sum, { bytes }) => sum + bytes, 0);
  return {
    get: (key) => {
      const known = list.filter((one) => one.key === key);
      list = [...without(key), ...known];
      return known[0]?.value;
    },
    set: (key, value, bytes) => {
      list = [...without(key), { key, value, bytes }];
      while (held() > maxBytes) list.shift();
    },
    delete: (key) => {
      list = without(key);
    },
  };
}

interface Step {
  readonly kind: "get" | "set" | "delete";
  readonly key: string;
  readonly bytes: number;
}

/** Takes one step. @returns what was got. */
function take(memory: RecentlyUsed<number>, { kind, key, bytes }: Step, value: number) {
  if (kind === "get") return memory.get(key);
  if (kind === "set") memory.set(key, value, bytes);
  else memory.delete(key);
  return undefined;
}

test("what was used last is held within the bound, and nothing else", () => {
  const step = fc.record({
    kind: fc.constantFrom("get", "set", "delete"),
    key: fc.constantFrom(...keys),
    bytes: fc.integer({ min: 0, max: 60 }),
  });
  fc.assert(
    fc.property(fc.array(step), (steps) => {
      const [memory, list] = [createRecentlyUsed<number>(100), createList(100)];
      expect(steps.map((one, at) => take(memory, one, at))).toEqual(
        steps.map((one, at) => take(list, one, at)),
      );
      expect(keys.map((key) => memory.get(key))).toEqual(keys.map((key) => list.get(key)));
    }),
  );
});

test("what is larger than the bound is not held", () => {
  const memory = createRecentlyUsed<string>(10);
  memory.set("a", "small", 4);
  memory.set("b", "large", 11);
  expect([memory.get("a"), memory.get("b")]).toEqual([undefined, undefined]);
});
