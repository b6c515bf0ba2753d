/** An upgrade without a lost request: the new instance's way onto the port, and the old one's off it. */
import type { ImageBackend } from "../backends/backend.ts";
import { codeOf, messageOf } from "../errors.ts";
import type { Log } from "../log.ts";
import { embedded } from "../native/embedded.ts";
import type { CommandCall, Environment } from "./command-call.ts";
import { findPredecessor, plainId } from "./predecessor.ts";

/** Tells an instance that another has its port: by default a process ignores it. */
const handOverSignal = "SIGWINCH";
/** Tells an instance to start its executable anew, and to hand over to that. */
const upgradeSignal = "SIGUSR2";

/** A service, as far as it takes a port over and hands it over. */
export interface TransferableService {
  readonly backends: readonly Pick<ImageBackend, "exactId" | "state">[];
  /**
   * @param options.takesOver whether another instance listens there, from whom new connections are drawn.
   * @param options.signal aborts when it is no longer to listen; too late once it does.
   */
  listen(options?: { readonly takesOver: boolean; readonly signal: AbortSignal }): Promise<URL>;
  /**
   * Does nothing where everything is loaded.
   *
   * @param keepsTrying whether what cannot be had now is tried for until the service stops.
   */
  load(keepsTrying?: boolean): Promise<void>;
  /** Resolves with true once it is done, and with false if no other instance has the port. */
  handOver(): Promise<boolean>;
}

/** Who is told, and who says that it is not to be. */
export interface TakeoverTerms {
  /** Aborts when the service must stop: one that will not serve takes nothing over. */
  readonly signal: AbortSignal;
  /** Called where nobody runs: this instance is the first. */
  readonly first: () => void;
  /** Called before the other instance is told. */
  readonly tookOver: () => void;
}

/**
 * Makes a service take the port over from the instance that runs. It loads before it listens, so that it
 * never has to refuse; if it cannot serve what the other one serves, it throws, and the other has not
 * noticed. Where nobody runs it just starts.
 */
export function takingOver<Service extends TransferableService>(
  service: Service,
  { config, log }: Pick<CommandCall, "config" | "log">,
  { signal, first, tookOver }: TakeoverTerms,
): Service {
  return {
    ...service,
    listen: async () => {
      const predecessor = await findPredecessor(config.HOST, config.PORT);
      if (predecessor === undefined) {
        log.info("nobody has the port: there is nothing to take over");
        first();
        return await service.listen();
      }
      log.info("taking over", { from_pid: predecessor.processId });
      await service.load(false);
      signal.throwIfAborted();
      requireReady(service, predecessor.readyModels);
      const url = await listenBeside(service, signal);
      tookOver();
      tellToHandOver(predecessor.processId, log);
      return url;
    },
  };
}

/** @throws Error with one sentence, if the kernel does not let two listen there. */
async function listenBeside(service: TransferableService, signal: AbortSignal): Promise<URL> {
  try {
    return await service.listen({ takesOver: true, signal });
  } catch (cause) {
    if (codeOf(cause) !== "EADDRINUSE") throw cause;
    throw new Error(
      "who has the port does not share it: it is another program, or runs as another user; stop it first",
      { cause },
    );
  }
}

/** The port is ours already: a process that has ended meanwhile is no failure. */
function tellToHandOver(processId: number, log: Log): void {
  try {
    process.kill(processId, handOverSignal);
  } catch (error) {
    log.warn("the old instance could not be told", { cause: messageOf(error) });
  }
}

/** @throws Error if one of the models is not ready here. */
function requireReady({ backends }: TransferableService, models: readonly string[]): void {
  const isReady = (model: string) =>
    backends.some(({ exactId, state }) => plainId(exactId) === model && state().kind === "ready");
  const missing = models.filter((model) => !isReady(model));
  if (missing.length === 0) return;
  throw new Error(
    `the instance that runs serves ${missing.join(" and ")} and this one would not: it goes on, and the log says what is missing here`,
  );
}

/**
 * Hears the two signals of an upgrade, as long as the process lives.
 *
 * @param handedOver called when the service has been handed over and must stop.
 */
export function hearUpgradeSignals(
  service: TransferableService,
  { config, environment, log }: Pick<CommandCall, "config" | "environment" | "log">,
  handedOver: () => void,
): void {
  process.on(handOverSignal, async () => {
    try {
      if (await service.handOver()) handedOver();
    } catch (error) {
      log.error("the port could not be handed over: this instance goes on", {
        cause: messageOf(error),
      });
    }
  });
  // Asked for later, the path of an executable that has been replaced would be that of the deleted one.
  const program = embedded === undefined ? [process.execPath, Bun.main] : [process.execPath];
  let isUpgrading = false;
  process.on(upgradeSignal, async () => {
    if (isUpgrading) return;
    if (config.PORT === 0) {
      log.error("PORT is 0: give a port, so that a new instance can take it over");
      return;
    }
    isUpgrading = true;
    await startSuccessor(program, environment, log);
    isUpgrading = false;
  });
}

/**
 * Starts the executable anew, which may be another by now, to take over from this process. It outlives it.
 *
 * @param program how the command line begins.
 * @returns once it has ended, which is before this process only if it could not take over.
 */
async function startSuccessor(
  program: readonly string[],
  environment: Environment,
  log: Log,
): Promise<void> {
  const { WATCHDOG_PID: _ours, ...inherited } = environment;
  const argv = process.argv.slice(2).filter((text) => text !== "--takeover");
  try {
    const successor = Bun.spawn([...program, ...argv, "--takeover"], {
      env: inherited,
      stdio: ["ignore", "inherit", "inherit"],
      detached: true,
    });
    log.info("upgrading: a new instance starts", { pid: successor.pid });
    const code = await successor.exited;
    log.error("the new instance has ended: this one goes on", { code });
  } catch (error) {
    log.error("the new instance could not start: this one goes on", { cause: messageOf(error) });
  }
}
