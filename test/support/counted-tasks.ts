/** What the counting workers of this process wrote down. */
import { existsSync, readFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";

/** Where they write: all threads of a process to the same file. */
export function countedTasksPath(): string {
  return join(tmpdir(), `imagesvc-counted-tasks-${process.pid}`);
}

/** One line a task with images, in order: its kind, images opened, images decoded to pixels. */
export function countedTasks(): readonly string[] {
  const path = countedTasksPath();
  return existsSync(path) ? readFileSync(path, "utf8").trimEnd().split("\n") : [];
}
