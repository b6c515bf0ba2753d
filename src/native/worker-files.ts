import { fileURLToPath } from "node:url";
import { embedded } from "./embedded.ts";

/** Where the workers' code is: in the source tree, or inside the executable. */
export const workerFiles = {
  inference:
    embedded?.inferenceWorker ??
    fileURLToPath(new URL("../../workers/inference.ts", import.meta.url)),
  cache: embedded?.cacheWorker ?? fileURLToPath(new URL("../../workers/cache.ts", import.meta.url)),
  json: embedded?.jsonWorker ?? fileURLToPath(new URL("../../workers/json.ts", import.meta.url)),
} as const;
