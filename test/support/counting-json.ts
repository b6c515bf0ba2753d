/** The worker that parses large JSON bodies, which tells of the bytes that it passes on. */
import type { ParseJson } from "../../src/backends/protocol.ts";
import { tellOfWork, watchThread } from "./work-counts.ts";

watchThread(tellOfWork());
const worker = await import("../../workers/json.ts");

/** Entry point for piscina. */
export function handle(task: ParseJson): object {
  return worker.handle(task);
}
