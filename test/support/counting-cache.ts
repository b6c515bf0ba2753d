/** The worker that hashes and writes the embedding cache, which tells of what it does. */
import type { CacheTask } from "../../src/backends/protocol.ts";
import { tellOfWork, watchThread } from "./work-counts.ts";

const tell = tellOfWork();
watchThread(tell);
const worker = await import("../../workers/cache.ts");

/** Entry point for piscina. */
export function handle(task: CacheTask): Promise<object> {
  if (task.kind === "write" && task.embeddings.length > 0) {
    tell({ kind: "written", vectors: task.embeddings.length });
  }
  return worker.handle(task);
}
