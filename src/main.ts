/** The entry point: reads the environment and the command line, and does what they ask. */
import { readFileSync } from "node:fs";
import { availableParallelism } from "node:os";
import { join } from "node:path";
import { version } from "../package.json" with { type: "json" };
import { type Invocation, parseArguments } from "./cli/arguments.ts";
import { helpText } from "./cli/help.ts";
import { type StopReason, serve } from "./cli/serve.ts";
import { composeService, foldersOf, type Service } from "./compose.ts";
import { type Config, parseConfig } from "./config.ts";
import { messageOf } from "./errors.ts";
import { createLog, type Log } from "./log.ts";
import { loadNativeLibraries } from "./native/libraries.ts";
import { workerFiles } from "./native/worker-files.ts";

type Environment = Readonly<Record<string, string | undefined>>;

/** Exit codes: 0 done, 1 failed, 2 wrong usage. */
export async function main(argv: readonly string[]): Promise<number> {
  const environment = takeEnvironment();
  const invocation = parseArguments(argv);
  switch (invocation.command) {
    case "help":
      process.stdout.write(helpText());
      return 0;
    case "version":
      process.stdout.write(`imagesvc ${version} (bun ${Bun.version})\n`);
      return 0;
    case "usage-error":
      process.stderr.write(`imagesvc: ${invocation.message}\n`);
      return 2;
    default:
      return await runService(invocation, environment);
  }
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

async function runService(
  { command, flags }: Extract<Invocation, { flags: unknown }>,
  environment: Environment,
): Promise<number> {
  const parsed = parseConfig(environment, flags);
  if ("faults" in parsed) return wrongSettings(parsed.faults);
  const { config } = parsed;
  const log = openLog(config);
  const stops = stopReasons();
  let service: Service;
  try {
    loadNativeLibraries();
    service = composeService(config, {
      cores: availableParallelism(),
      folders: foldersOf(config, environment["STATE_DIRECTORY"]),
      nvidiaApiKey: readApiKey(config, environment["CREDENTIALS_DIRECTORY"]),
      workerFiles,
      log,
      onWorkerLost: (cause) => stops.give({ kind: "worker-lost", cause }),
    });
  } catch (error) {
    if (error instanceof RangeError) return wrongSettings([error.message]);
    log.error(messageOf(error));
    return 1;
  }
  if (command === "openapi") {
    await Bun.write(Bun.stdout, `${await service.openApi()}\n`);
    return 0;
  }
  if (!isLoopback(config.HOST)) {
    log.warn("everyone who reaches this address may use the service", { host: config.HOST });
  }
  for (const name of ["SIGTERM", "SIGINT"] as const) {
    process.on(name, () => stops.give({ kind: "signal", name }));
  }
  return await serve(service, stops.take, log);
}

/** Reasons to stop, also those that come before anybody listens. */
function stopReasons() {
  const early: StopReason[] = [];
  let give = (reason: StopReason): void => void early.push(reason);
  return {
    give: (reason: StopReason) => give(reason),
    take: (stop: (reason: StopReason) => void) => {
      give = stop;
      for (const reason of early.splice(0)) stop(reason);
    },
  };
}

function wrongSettings(faults: readonly string[]): number {
  for (const fault of faults) process.stderr.write(`imagesvc: ${fault}\n`);
  return 2;
}

function openLog({ LOG_LEVEL: level, LOG_FORMAT }: Config): Log {
  const automatic = process.stderr.isTTY ? "text" : "json";
  return createLog({
    level,
    format: LOG_FORMAT === "auto" ? automatic : LOG_FORMAT,
    write: (line) => process.stderr.write(line),
    now: () => new Date(),
  });
}

/**
 * The key from the environment, from the file that it names, or from systemd's credentials.
 *
 * @throws Error with one sentence when the file that was named cannot be read.
 */
function readApiKey(config: Config, credentials: string | undefined): string | undefined {
  if (config.NVIDIA_API_KEY !== "") return config.NVIDIA_API_KEY;
  const named = config.NVIDIA_API_KEY_FILE;
  try {
    if (named !== "") return readFileSync(named, "utf8").trim();
    if (credentials !== undefined) {
      return readFileSync(join(credentials, "nvidia_api_key"), "utf8").trim();
    }
  } catch (cause) {
    if (named !== "") {
      throw new Error("NVIDIA_API_KEY_FILE cannot be read: check its path and its owner", {
        cause,
      });
    }
  }
  return undefined;
}

function isLoopback(host: string): boolean {
  return host === "localhost" || host === "::1" || /^127\./.test(host);
}

if (import.meta.main) process.exit(await main(process.argv.slice(2)));
