import { expect, test } from "bun:test";
import { readdir, readFile } from "node:fs/promises";
import { createWorker } from "../../src/backends/pool.ts";
import { yieldToMainThread } from "../../src/native/thread-priority.ts";
import { workerFiles } from "../../src/native/worker-files.ts";

/** Nice values of this process's threads by their id: proc_pid_stat(5), field 19. */
async function niceValues(): Promise<ReadonlyMap<string, number>> {
  const ids = await readdir("/proc/self/task");
  const values = ids.map(async (id) => {
    const stat = await readFile(`/proc/self/task/${id}/stat`, "utf8").catch(() => "");
    // The name, in brackets, may hold spaces: the fields after it are counted from 3.
    return [id, Number(stat.slice(stat.lastIndexOf(")") + 2).split(" ")[19 - 3])] as const;
  });
  return new Map(await Promise.all(values));
}

test("a worker's thread gives way to the main thread", async () => {
  const before = await niceValues();
  const main = before.get(String(process.pid)) ?? Number.NaN;
  const worker = createWorker(workerFiles);
  await worker.run({ kind: "ping" });
  const after = await niceValues();
  await worker.close();
  expect(after.get(String(process.pid))).toBe(main);
  const yielding = [...after].filter(([id, nice]) => !before.has(id) && nice > main);
  expect(yielding.length).toBeGreaterThan(0);
});

test("the main thread gives way to nobody", async () => {
  const before = await niceValues();
  yieldToMainThread();
  expect((await niceValues()).get(String(process.pid))).toBe(before.get(String(process.pid)));
});
