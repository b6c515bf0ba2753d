import { describe, expect, test } from "bun:test";
import { mapInFlight } from "../../src/cli/in-flight.ts";
import { until } from "../support/client.ts";

/** Work that the test ends, thing by thing. */
function heldWork() {
  const begun: number[] = [];
  const ends = new Map<number, PromiseWithResolvers<string>>();
  return {
    begun,
    work: (thing: number) => {
      begun.push(thing);
      const end = Promise.withResolvers<string>();
      ends.set(thing, end);
      return end.promise;
    },
    end: (thing: number) => ends.get(thing)?.resolve(`done ${thing}`),
    fail: (thing: number) => ends.get(thing)?.reject(new Error(`failed ${thing}`)),
  };
}

async function* things(count: number): AsyncGenerator<number> {
  for (let thing = 1; thing <= count; thing += 1) yield thing;
}

/** Collects what comes. */
function collect(outcomes: AsyncIterable<readonly string[]>) {
  const got: string[] = [];
  const over = (async () => {
    for await (const together of outcomes) got.push(...together);
  })();
  return { got, over };
}

const never = new AbortController().signal;

describe("things in flight, in their order", () => {
  test("come in their order, whichever is done first, and are never more than so many", async () => {
    const { begun, work, end } = heldWork();
    const options = { width: 2, isOrdered: true, signal: never };
    const { got, over } = collect(mapInFlight(things(4), work, options));
    await until(() => begun.length === 2);
    await Bun.sleep(0);
    expect({ got, begun }).toEqual({ got: [], begun: [1, 2] });
    end(2);
    await until(() => begun.length === 3);
    end(1);
    await until(() => begun.length === 4);
    expect(got).toEqual(["done 1", "done 2"]);
    end(4);
    end(3);
    await over;
    expect(got).toEqual(["done 1", "done 2", "done 3", "done 4"]);
  });

  test("go on behind one that takes long, until four times as many are done and wait for it", async () => {
    const { begun, work, end } = heldWork();
    const options = { width: 2, isOrdered: true, signal: never };
    const { got, over } = collect(mapInFlight(things(9), work, options));
    for (const thing of [2, 3, 4, 5, 6, 7, 8]) {
      await until(() => begun.includes(thing));
      end(thing);
    }
    await Bun.sleep(0);
    expect({ got, begun }).toEqual({ got: [], begun: [1, 2, 3, 4, 5, 6, 7, 8] });
    end(1);
    await until(() => begun.includes(9));
    end(9);
    await over;
    expect(got).toHaveLength(9);
  });
});

describe("things in flight", () => {
  test("come together where they were done together", async () => {
    for (const isOrdered of [true, false]) {
      const { begun, work, end } = heldWork();
      const flights = mapInFlight(things(4), work, { width: 4, isOrdered, signal: never });
      const first = flights.next();
      await until(() => begun.length === 4);
      for (const thing of [1, 2, 4]) end(thing);
      const together = isOrdered ? [1, 2] : [1, 2, 4];
      expect((await first).value).toEqual(together.map((thing) => `done ${thing}`));
      end(3);
      const rest = isOrdered ? ["done 3", "done 4"] : ["done 3"];
      expect((await flights.next()).value).toEqual(rest);
      expect((await flights.next()).done).toBe(true);
    }
  });

  test("come as they are done where their order does not matter", async () => {
    const { begun, work, end } = heldWork();
    const options = { width: 3, isOrdered: false, signal: never };
    const { got, over } = collect(mapInFlight(things(3), work, options));
    await until(() => begun.length === 3);
    for (const thing of [3, 1, 2]) {
      end(thing);
      await until(() => got.includes(`done ${thing}`));
    }
    await over;
    expect(got).toEqual(["done 3", "done 1", "done 2"]);
  });

  test("come although the source is silent", async () => {
    const silent = async function* () {
      yield 1;
      await new Promise(() => {});
    };
    const { begun, work, end } = heldWork();
    const options = { width: 9, isOrdered: true, signal: never };
    const { got } = collect(mapInFlight(silent(), work, options));
    await until(() => begun.length === 1);
    end(1);
    await until(() => got.length === 1);
  });

  test("end at once at an abort, whatever is under way or awaited", async () => {
    const caller = new AbortController();
    const { begun, work } = heldWork();
    const options = { width: 1, isOrdered: true, signal: caller.signal };
    const { over } = collect(mapInFlight(things(9), work, options));
    await until(() => begun.length === 1);
    caller.abort(new Error("interrupted"));
    await expect(over).rejects.toThrow("interrupted");
    expect(begun).toEqual([1]);
  });

  test("are not begun after an abort", async () => {
    const { begun, work } = heldWork();
    const signal = AbortSignal.abort(new Error("interrupted"));
    const { over } = collect(mapInFlight(things(1), work, { width: 1, isOrdered: true, signal }));
    await expect(over).rejects.toThrow("interrupted");
    expect(begun).toEqual([]);
  });

  test("end with the failure of one, or of the source", async () => {
    const { begun, work, fail } = heldWork();
    const options = { width: 2, isOrdered: true, signal: never };
    const { over } = collect(mapInFlight(things(9), work, options));
    await until(() => begun.length === 2);
    fail(2);
    await expect(over).rejects.toThrow("failed 2");
    const broken = async function* (): AsyncGenerator<number> {
      yield* [];
      throw new Error("no source");
    };
    await expect(collect(mapInFlight(broken(), work, options)).over).rejects.toThrow("no source");
  });
});
