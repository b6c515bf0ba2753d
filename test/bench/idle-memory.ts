import { type ProcessMemory, processMemory } from "./process-usage.ts";
import { startBystander, startService } from "./server.ts";

const settleMs = 3000;

/** What the service holds when it has no weights and nothing to do, beside a server without any work. */
export async function* idleMemory(): AsyncGenerator<string> {
  await using bystander = await startBystander();
  await using service = await startService("none");
  await Bun.sleep(settleMs);
  yield `${settleMs / 1000} s after the start, MB`;
  yield `service without weights: ${show(await processMemory(service.pid))}; wanted: resident under 150`;
  yield `a bare Bun.serve beside it: ${show(await processMemory(bystander.pid))}`;
}

function show({ resident, proportional, anonymous }: ProcessMemory): string {
  const [rss, pss, own] = [resident, proportional, anonymous].map((n) => (n / 1e6).toFixed(0));
  return `resident ${rss}, of which its share ${pss}, its own without files ${own}`;
}
