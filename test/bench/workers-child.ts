/**
 * A process with a service of as many workers as it is told, each with a core of its own, as on a machine that has so
 * many: where there are fewer, they hold the same memory and only take longer. `workers-child.ts <workers>`.
 */
import { until } from "../support/client.ts";
import { startService } from "../support/service.ts";
import { answerQuestions } from "./child.ts";

/** Asks where the service listens. */
export type WorkersQuestion = "url";

/** Its URL, once every worker is warm. */
export type WorkersAnswer = string;

const [count = "1"] = process.argv.slice(2);
const starting = startService({ WORKERS: count }, {}, Number(count));

answerQuestions<WorkersQuestion, WorkersAnswer>(async () => {
  const { url } = await starting;
  // It is ready with the first of them.
  await until(async () => (await metricsOf(url)).includes("\nimagesvc_workers_busy 0\n"));
  return url.href;
});
process.on("SIGTERM", async () => {
  await (await starting).stop();
  process.exit(0);
});

async function metricsOf(url: URL): Promise<string> {
  return await (await fetch(new URL("/metrics", url))).text();
}
