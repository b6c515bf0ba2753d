import { type ProcessMemory, processMemory } from "./process-usage.ts";
import { findingRow, findingsHead } from "./report.ts";
import { startBystander, startService } from "./server.ts";

const settleMs = 3000;

/** What the service holds when it has no weights and nothing to do, beside a server without any work. */
export async function* idleMemory(): AsyncGenerator<string> {
  await using bystander = await startBystander();
  await using service = await startService("none");
  await Bun.sleep(settleMs);
  yield `${settleMs / 1000} s after the start, MB`;
  const [idle, bare] = await Promise.all([service.pid, bystander.pid].map(processMemory));
  if (idle === undefined || bare === undefined) throw new Error("a process is gone");
  yield* findingsHead;
  yield findingRow({
    what: "memory of the idle service without weights, from source, MB",
    measured: show(idle),
    reference: `a bare \`Bun.serve\`: ${show(bare)}`,
    wanted: "resident under 150",
    isMet: idle.resident < 150e6,
  });
}

function show({ resident, proportional, anonymous }: ProcessMemory): string {
  const [rss, pss, own] = [resident, proportional, anonymous].map((n) => (n / 1e6).toFixed(0));
  return `resident ${rss}, of which its share ${pss}, its own without files ${own}`;
}
