/** `serve` with scripted workers and impatient limits, to see what becomes of workers that hang. */
import { fileURLToPath } from "node:url";
import { runServe } from "../../src/cli/serve.ts";
import { composeService } from "../../src/compose.ts";
import { limits } from "../../src/limits.ts";
import { createLog } from "../../src/log.ts";
import { workerFiles } from "../../src/native/worker-files.ts";
import { openCredentials } from "../../src/store/credentials.ts";
import { writtenCall } from "./command-call.ts";

// Only in this process, and before anything has read them.
Object.assign(limits, {
  hangTimeoutMs: 2_000,
  pingTimeoutMs: 2_000,
  beatIntervalMs: 50,
  retentionIntervalMs: 50,
});

const environment = Bun.env;
const folders = { models: "models", downloads: environment["DOWNLOADS_DIR"] ?? "", cache: "" };
const settings = Object.fromEntries(
  Object.entries(environment).flatMap(([name, text]) => (text ? [[name, text]] : [])),
);
const { call } = writtenCall({ folders, settings, environment });
const log = createLog({
  level: "info",
  format: "json",
  write: (line) => process.stderr.write(line),
  now: () => new Date(),
});
const inference = fileURLToPath(new URL("scripted-worker.ts", import.meta.url));
const code = await runServe({ ...call, log }, (given) =>
  composeService(call.config, {
    ...given,
    cores: 2,
    folders,
    hubCaches: {},
    prepareThreads: () => {},
    secrets: openCredentials(call.config, undefined),
    workerFiles: { ...workerFiles, inference },
    log,
    droppedLogLines: () => 0,
  }),
);
process.exit(code);
