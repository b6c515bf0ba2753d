/** Who infers at the same time as whom, over real threads. */
import { expect, test } from "bun:test";
import { fileURLToPath } from "node:url";
import { startThread } from "../../src/backends/pool.ts";
import { createCoreGate } from "../../workers/core-gate.ts";
import type { GatedTask } from "../support/gated-worker.ts";

const workerFile = fileURLToPath(new URL("../support/gated-worker.ts", import.meta.url));

function numbers(count: number): Int32Array<SharedArrayBuffer> {
  return new Int32Array(new SharedArrayBuffer(count * Int32Array.BYTES_PER_ELEMENT));
}

test("while one thread infers on all cores, no other infers; and all of them come to their turn", async () => {
  const [cores, counts] = [numbers(1), numbers(2)];
  const threads = Array.from({ length: 3 }, () =>
    startThread(workerFile, Number.POSITIVE_INFINITY),
  );
  const task: GatedTask = { cores, counts, times: 400 };
  const timesAlone = await Promise.all(threads.map((thread) => thread.run(task)));
  await Promise.all(threads.map((thread) => thread.close()));
  expect([...counts]).toEqual([0, 0]);
  expect([...cores]).toEqual([0]);
  expect(Math.max(...timesAlone)).toBeGreaterThan(0);
});

test("all cores are not given while somebody infers on a share, and given once nobody does", async () => {
  const cores = numbers(1);
  const [one, other] = [createCoreGate(cores), createCoreGate(cores)];
  const running = Promise.withResolvers<string>();
  const share = one.onShare(() => running.promise);
  expect(other.onAll(async () => "never")).toBeUndefined();
  running.resolve("done");
  expect(await share).toBe("done");
  expect(await other.onAll(async () => "alone")).toBe("alone");
});

test("an inference that fails gives its cores back", async () => {
  const cores = numbers(1);
  const gate = createCoreGate(cores);
  const fail = async () => {
    throw new Error("broken");
  };
  await expect(gate.onShare(fail)).rejects.toThrow("broken");
  await expect(gate.onAll(fail)).rejects.toThrow("broken");
  expect([...cores]).toEqual([0]);
});

test("cores that a thread died with are taken from it", async () => {
  const cores = numbers(1);
  void createCoreGate(cores).onAll(() => new Promise(() => {}));
  expect(await createCoreGate(cores).onShare(async () => "after a while")).toBe("after a while");
  expect([...cores]).toEqual([0]);
});
