/** The real worker, which also writes down what was done with the images of each task. */
import { appendFile } from "node:fs/promises";
import sharp from "sharp";
import type { Task } from "../../src/backends/protocol.ts";
import { handle as work } from "../../workers/inference.ts";
import { countedTasksPath } from "./counted-tasks.ts";

const counts = { opened: 0, decoded: 0 };

/** Counts the calls of a method that every image goes through. */
function count(name: "metadata" | "removeAlpha", what: keyof typeof counts): void {
  const original = sharp.prototype[name];
  Reflect.set(sharp.prototype, name, function counted(this: unknown, ...given: unknown[]) {
    counts[what] += 1;
    return Reflect.apply(original, this, given);
  });
}

count("metadata", "opened");
// Called once where pixels are read, and nowhere else.
count("removeAlpha", "decoded");

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
