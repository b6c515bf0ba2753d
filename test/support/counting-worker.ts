/** The real worker, which also writes down what was done with the images of each task. */
import { appendFile } from "node:fs/promises";
import type { Task } from "../../src/backends/protocol.ts";
import { handle as work } from "../../workers/inference.ts";
import { countedTasksPath } from "./counted-tasks.ts";
import { watchDecoding } from "./watched-decoding.ts";

const counts = { opened: 0, decoded: 0 };

watchDecoding((what) => {
  counts[what === "header" ? "opened" : "decoded"] += 1;
});

/** Entry point for piscina. */
export async function handle(task: Task): Promise<object> {
  Object.assign(counts, { opened: 0, decoded: 0 });
  const answer = await work(task);
  if (task.kind === "embed-images" || task.kind === "prepare-upstream") {
    const line = `${task.kind}: opened ${counts.opened}, decoded ${counts.decoded}\n`;
    await appendFile(countedTasksPath(), line);
  }
  return answer;
}
