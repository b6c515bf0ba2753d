import type { EventLoopDelay } from "./event-loop-probe.ts";
import { startLoad } from "./load.ts";
import { createPhotos } from "./photo.ts";
import { startBystander, startService } from "./server.ts";

const loadMs = 8000;

/** How late the event loop of the service's main thread runs while every core is busy. */
export async function* eventLoop(): AsyncGenerator<string> {
  await using bystander = await startBystander();
  await using service = await startService("synthetic");
  await using load = await startLoad(service, await createPhotos());
  const servers = [service, bystander];
  await Promise.all(servers.map((server) => server.ask("reset")));
  await load.observe(loadMs);
  const [served, beside] = await Promise.all(servers.map((server) => server.ask("report")));
  yield `under the load of the throughput figure for ${loadMs / 1000} s, ms later than due`;
  yield `the service's main thread: ${show(served)}; wanted: p99 under 20`;
  yield `an idle process beside it: ${show(beside)}`;
}

function show(delay: EventLoopDelay | undefined): string {
  if (delay === undefined) throw new Error("a server did not report");
  return `p50 ${delay.p50.toFixed(1)}, p99 ${delay.p99.toFixed(1)}, longest ${delay.longest.toFixed(1)}`;
}
