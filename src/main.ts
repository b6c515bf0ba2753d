/** The entry point: reads the environment and the command line, and does what they ask. */

import { fstatSync } from "node:fs";
import { availableParallelism, tmpdir } from "node:os";
import { createWorker, type Worker } from "./backends/pool.ts";
import { type Invocation, parseArguments, type Request } from "./cli/arguments.ts";
import type { CommandCall, Environment } from "./cli/command-call.ts";
import { type CommandName, commands } from "./cli/commands.ts";
import { runCompletions } from "./cli/completions.ts";
import { runDoctor } from "./cli/doctor.ts";
import { runDownloadsDelete, runDownloadsList, runDownloadsPrune } from "./cli/downloads.ts";
import { runEmbed } from "./cli/embed.ts";
import { helpText } from "./cli/help.ts";
import { runKeysAdd, runKeysList, runKeysRevoke } from "./cli/keys.ts";
import { runLicenses } from "./cli/licenses.ts";
import { runModelsList, runModelsPull, runModelsRemove } from "./cli/models.ts";
import { runModelsImport } from "./cli/models-import.ts";
import { runModelsVerify, type VerifyTools } from "./cli/models-verify.ts";
import { createProgress } from "./cli/progress.ts";
import { runSearch } from "./cli/search.ts";
import { runSystemd } from "./cli/systemd.ts";
import { versionText } from "./cli/version.ts";
import { writeAll } from "./cli/whole-output.ts";
import { composeCore, composeMemory, type Surroundings } from "./compose-core.ts";
import { type Config, parseConfig } from "./config.ts";
import { codeOf, messageOf } from "./errors.ts";
import { limits } from "./limits.ts";
import { chooseFormat, createLineWriter, createLog, type Log } from "./log.ts";
import { catalog, isLocalModelId } from "./models/catalog.ts";
import { readHostText, usableCores } from "./native/cgroup.ts";
import { describeNativeLoad, loadNativeLibraries } from "./native/libraries.ts";
import { workerFiles } from "./native/worker-files.ts";
import { findTrustedProxiesFaults } from "./net/client-address.ts";
import { findFetchAllowFaults } from "./net/fetch-allow.ts";
import { openCredentials } from "./store/credentials.ts";
import { foldersOf } from "./store/folders.ts";

/** Exit codes: 0 done, 1 failed, 2 wrong usage, 130 interrupted. */
export async function main(argv: readonly string[]): Promise<number> {
  const environment = takeEnvironment();
  const request = parseArguments(argv);
  try {
    return await answer(request, environment);
  } catch (error) {
    // A pager or `head` that has read enough.
    if (codeOf(error) === "EPIPE") return 0;
    tell(`imagesvc: ${messageOf(error)}`);
    return 1;
  }
}

async function answer(request: Request, environment: Environment): Promise<number> {
  switch (request.kind) {
    case "help":
      await print(helpText(request.about));
      return 0;
    case "version":
      await print(await versionText());
      return 0;
    case "usage-error":
      tell(`imagesvc: ${request.message}`);
      return 2;
    default:
      return await run(request.invocation, environment);
  }
}

/** What a command gives to the parts that it composes. */
type Given = Pick<Surroundings, "onWorkerLost">;

/** Only a command that runs although settings are wrong gets to see their faults. */
type Run = (call: CommandCall, faults: readonly string[]) => Promise<number>;

/** What each command does. */
const runs: Readonly<Record<CommandName, Run>> = {
  serve: runService,
  embed: (call) => runEmbed(call, (given: Given) => composeNow(call, given)),
  search: (call) => runSearch(call, (given: Given) => composeNow(call, given)),
  "models list": (call) => runModelsList(call),
  "models pull": (call) => runModelsPull(call, catalog, () => startWorker(call)),
  "models import": (call) => runModelsImport(call, catalog, () => startWorker(call)),
  "models verify": (call) => runModelsVerify(call, catalog, verifyTools(call)),
  "models remove": (call) => runModelsRemove(call),
  "downloads list": runDownloadsList,
  "downloads prune": runDownloadsPrune,
  "downloads delete": runDownloadsDelete,
  "keys add": runKeysAdd,
  "keys list": runKeysList,
  "keys revoke": runKeysRevoke,
  doctor: runDoctor,
  openapi: runOpenApi,
  systemd: runSystemd,
  licenses: runLicenses,
  completions: runCompletions,
};

async function run(
  { command, operands, options, flags }: Invocation,
  environment: Environment,
): Promise<number> {
  const { config, faults } = readSettings(environment, flags, commands[command].settings);
  if (faults.length > 0 && command !== "doctor") return wrongSettings(faults);
  const { log, droppedLogLines } = openLog(config, environment);
  const place = { environment, temporary: tmpdir(), userId: process.getuid?.() ?? 0 };
  const folders = foldersOf(config, place);
  const interrupted = command === "serve" ? new AbortController().signal : abortOnSignals();
  try {
    const isWatched = process.stderr.isTTY === true && config.LOG_FORMAT === "auto";
    const said = {
      print,
      tell,
      isWatched,
      startProgress: progressOnStderr(),
      log,
      droppedLogLines,
    };
    const given = { operands, options, flags, config, environment };
    const call = { ...given, folders, interrupted, ...said };
    return await runs[command](call, faults);
  } catch (error) {
    if (interrupted.aborted) return 130;
    if (codeOf(error) === "EPIPE") throw error;
    log.error(messageOf(error));
    return 1;
  }
}

/** The settings with every fault of theirs at once; each faulty one has its default. */
function readSettings(...given: Parameters<typeof parseConfig>) {
  const parsed = parseConfig(...given);
  const { config, faults } =
    "faults" in parsed ? { ...parsed, config: parsed.mended } : { ...parsed, faults: [] };
  return {
    config,
    faults: [
      ...faults,
      ...findFetchAllowFaults(config.FETCH_ALLOW),
      ...findTrustedProxiesFaults(config.TRUSTED_PROXIES),
    ],
  };
}

/** What the parts of a service need of this process. */
function surround(call: CommandCall, given: Given): Surroundings {
  const { config, environment, folders, log, droppedLogLines } = call;
  const secrets = openCredentials(config, environment["CREDENTIALS_DIRECTORY"]);
  const cores = usableCores(readHostText, availableParallelism());
  const here = { cores, folders, hubCaches: environment, workerFiles };
  const prepareThreads = () => {
    const native = loadNativeLibraries({ cacheDir: folders.cache, nativeDir: config.NATIVE_DIR });
    log.debug("native libraries loaded", { how: describeNativeLoad(native) });
  };
  return { ...given, ...here, prepareThreads, secrets, log, droppedLogLines };
}

/** The core for a command that is about to use it, with the vectors that a service made or another command. */
function composeNow(call: CommandCall, given: Given) {
  const here = surround(call, given);
  here.prepareThreads();
  const memory = composeMemory(call.config, here);
  const terms = { recall: memory?.recall, hasWideSession: false };
  return { ...composeCore(call.config, here, terms), memory };
}

/** Starts a worker that holds no model. @throws Error with one sentence where native libraries cannot be loaded. */
function startWorker(call: CommandCall): Worker {
  surround(call, { onWorkerLost: () => {} }).prepareThreads();
  return createWorker(workerFiles);
}

/** What runs any model of the catalogue, whichever the settings name. */
function verifyTools(call: CommandCall): VerifyTools {
  const here = surround(call, { onWorkerLost: () => {} });
  here.prepareThreads();
  return {
    compose: (id, precision) => (given) => {
      const model = isLocalModelId(id) ? { CLIP_MODEL: id } : {};
      const config = { ...call.config, ...model, CLIP_PRECISION: precision };
      return composeCore(config, { ...here, ...given });
    },
    createWorker: () => createWorker(workerFiles),
  };
}

/** What answers over HTTP takes as long to load as everything else: other commands do without it. */
async function runService(call: CommandCall): Promise<number> {
  const { runServe } = await import("./cli/serve.ts");
  const { composeService } = await import("./compose.ts");
  return await runServe(call, (given) => composeService(call.config, surround(call, given)));
}

async function runOpenApi(call: CommandCall): Promise<number> {
  const { composeService } = await import("./compose.ts");
  const service = composeService(call.config, surround(call, { onWorkerLost: () => {} }));
  await call.print(`${await service.openApi()}\n`);
  return 0;
}

/**
 * A copy of the environment, without what would change the behaviour of others behind our back: Bun's
 * `fetch` obeys proxy variables, even where an image's address must be the one that was checked.
 */
function takeEnvironment(): Environment {
  const { env } = process;
  const environment = { ...env };
  for (const name of ["HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "NO_PROXY"]) {
    // Either spelling is usual; the other settings have one.
    environment[name] ||= env[name.toLowerCase()];
    delete env[name];
    delete env[name.toLowerCase()];
  }
  return environment;
}

/** A second signal, if it is no echo of the first, ends the process at once. */
function abortOnSignals(): AbortSignal {
  const controller = new AbortController();
  let firstAt: number | undefined;
  for (const name of ["SIGTERM", "SIGINT"] as const) {
    process.on(name, () => {
      firstAt ??= performance.now();
      if (performance.now() - firstAt > limits.signalEchoMs) process.exit(130);
      controller.abort();
    });
  }
  return controller.signal;
}

function wrongSettings(faults: readonly string[]): number {
  for (const fault of faults) tell(`imagesvc: ${fault}`);
  return 2;
}

/** A descriptor, for `process.stdout` opens a stream as soon as it is touched. */
const stdout = 1;

/** Waits until all of it was taken. */
async function print(text: string | Uint8Array): Promise<void> {
  try {
    await writeAll(stdout, typeof text === "string" ? Buffer.from(text) : text);
  } catch (cause) {
    if (codeOf(cause) === "EPIPE") throw cause;
    throw new Error(`stdout cannot be written (${codeOf(cause)}): free space where it leads`, {
      cause,
    });
  }
}

function progressOnStderr() {
  return createProgress({
    write: (text) => process.stderr.write(text),
    isTerminal: process.stderr.isTTY === true,
    now: () => performance.now(),
  });
}

function tell(line: string): void {
  process.stderr.write(`${line}\n`);
}

function openLog({ LOG_LEVEL: level, LOG_FORMAT }: Config, environment: Environment) {
  const lines = createLineWriter({
    write: (line, written) => process.stderr.write(line, written),
    maxHeldBytes: limits.maxHeldLogBytes,
    onResumed: (dropped) => log.error("log lines were dropped: nobody read them", { dropped }),
  });
  const log: Log = createLog({
    level,
    format: chooseFormat(LOG_FORMAT, {
      journalStream: environment["JOURNAL_STREAM"],
      stream: statOf(process.stderr.fd),
      isTerminal: process.stderr.isTTY,
      noColor: environment["NO_COLOR"],
    }),
    write: lines.write,
    now: () => new Date(),
  });
  return { log, droppedLogLines: lines.dropped };
}

/** Undefined where the descriptor was closed before the start. */
function statOf(descriptor: number) {
  try {
    return fstatSync(descriptor, { bigint: true });
  } catch {
    return undefined;
  }
}

if (import.meta.main) process.exit(await main(process.argv.slice(2)));
