/** `imagesvc serve`: a service from its start to its clean end. */
import { messageOf } from "../errors.ts";
import { limits } from "../limits.ts";
import type { Log } from "../log.ts";
import { listenFaultOf } from "../net/listen-fault.ts";
import type { CommandCall } from "./command-call.ts";
import { greetingOf } from "./greeting.ts";
import { createServiceManager, mute, type ServiceManager } from "./service-manager.ts";
import { hearUpgradeSignals, type TransferableService, takingOver } from "./takeover.ts";

/** What is served, as far as its life is concerned. */
export interface Servable extends TransferableService {
  check(): void;
  reload(): Promise<void>;
  stop(): Promise<void>;
}

/** Why the service must stop. */
export type StopReason =
  | { readonly kind: "signal"; readonly name: string }
  | { readonly kind: "handed-over" }
  | { readonly kind: "worker-lost"; readonly cause: Error }
  | { readonly kind: "unable"; readonly cause: Error };

/** Calls back once for each event, as they come. */
export type Hear<Event> = (listener: (event: Event) => void) => void;

/** What a service that runs hears from outside, and whom it tells. */
export interface Outside {
  readonly onStop: Hear<StopReason>;
  /** Wishes to read the secrets again. */
  readonly onReload: Hear<void>;
  readonly manager: ServiceManager;
  readonly log: Log;
  /** The port that it is to listen on. */
  readonly port: number;
  /** Told where it listens; absent where nobody sits before it. */
  readonly greet?: ((url: URL) => void) | undefined;
}

/** Puts a service together, and tells of a worker that is lost for good. */
type Compose = (given: { readonly onWorkerLost: (cause: Error) => void }) => Servable;

/** @throws Error with one sentence for whoever started it. */
export async function runServe(call: CommandCall, compose: Compose): Promise<number> {
  const { environment, log, options } = call;
  const stops = createMailbox<StopReason>();
  const stopping = new AbortController();
  const stop = (reason: StopReason) => {
    stopping.abort(new Error("it was told to stop"));
    stops.give(reason);
  };
  const reloads = createMailbox<void>();
  for (const name of ["SIGTERM", "SIGINT"] as const) {
    process.on(name, () => stop({ kind: "signal", name }));
  }
  process.on("SIGHUP", () => reloads.give());
  const onWorkerLost = (cause: Error) => stop({ kind: "worker-lost", cause });
  const manager = createServiceManager(environment, process.pid, log);
  const muted = mute(manager);
  const composed = compose({ onWorkerLost });
  const takesOver = options.has("takeover");
  const service = takesOver
    ? takingOver(composed, call, {
        signal: stopping.signal,
        first: muted.speak,
        tookOver: () => {
          muted.speak();
          muted.tookOver();
        },
      })
    : composed;
  hearUpgradeSignals(service, call, () => stop({ kind: "handed-over" }));
  const greet = (url: URL) =>
    call.tell(greetingOf(url, service.backends, call.config.API_KEYS_FILE !== ""));
  const outside = {
    ...{ onStop: stops.hear, onReload: reloads.hear, log, port: call.config.PORT },
    greet: call.isWatched && !takesOver ? greet : undefined,
  };
  return await serve(service, { ...outside, manager: takesOver ? muted : manager });
}

/** Events for one listener, also those that come before it listens. */
function createMailbox<Event>() {
  const early: Event[] = [];
  let give = (event: Event): void => void early.push(event);
  const hear: Hear<Event> = (listener) => {
    give = listener;
    for (const event of early.splice(0)) listener(event);
  };
  return { give: (event: Event) => give(event), hear };
}

/**
 * Listens, loads the models beside, and serves until there is a reason to stop. A second signal ends
 * at once.
 *
 * @returns the exit code: 0 after a clean stop, 1 when it could not start or go on, 130 at a second signal.
 */
export async function serve(service: Servable, outside: Outside): Promise<number> {
  const { log, manager } = outside;
  const { first, second } = hearStops(outside.onStop);
  let url: URL | undefined;
  try {
    url = await Promise.race([service.listen(), first.then(() => undefined)]);
  } catch (error) {
    const failure = startFailure(error, outside.port);
    log.error(failure);
    manager.status(failure);
    return 1;
  }
  if (url !== undefined) {
    log.info("listening", { url: url.href });
    outside.greet?.(url);
  }
  // To the very end: a stop has a deadline of its own, and a process that hangs in it is to be found too.
  using _watch = manager.watch();
  const reason = await (url === undefined ? first : runUntil(first, service, outside, url));
  tellStop(reason, outside);
  const ended = await Promise.race([stopInTime(service, log), second]);
  const code = "cause" in reason ? 1 : ended;
  log.info("stopped", { code });
  return code;
}

function tellStop(reason: StopReason, { log, manager }: Outside): void {
  if (reason.kind === "handed-over") {
    // The service manager is told nothing: for it the service goes on, with another main process.
    log.info("stopping: the new instance has the port");
    return;
  }
  if (reason.kind === "signal") log.info("stopping", { signal: reason.name });
  else if (reason.kind === "unable") log.error(reason.cause.message);
  else
    log.error("a worker is lost: stopping, to be started again", { cause: reason.cause.message });
  manager.stopping();
  manager.status(`stopping: ${reason.kind === "signal" ? reason.name : reason.cause.message}`);
}

/** The first reason to stop, and the exit code of a second signal. */
function hearStops(onStop: Hear<StopReason>) {
  const first = Promise.withResolvers<StopReason>();
  const second = Promise.withResolvers<number>();
  let signalledAt: number | undefined;
  onStop((reason) => {
    if (reason.kind === "signal") {
      const now = performance.now();
      signalledAt ??= now;
      if (now - signalledAt > limits.signalEchoMs) second.resolve(130);
    }
    first.resolve(reason);
  });
  return { first: first.promise, second: second.promise };
}

/** Serves, and sees to the workers, to the service manager and to reloads meanwhile. */
async function runUntil(
  stopped: Promise<StopReason>,
  service: Servable,
  { onReload, manager }: Outside,
  url: URL,
): Promise<StopReason> {
  let isRunning = true;
  const unable = Promise.withResolvers<StopReason>();
  const tellStatus = () => {
    if (isRunning) manager.status(statusOf(url, service));
  };
  const reload = async () => {
    if (!isRunning) return;
    manager.reloading();
    await service.reload();
    if (isRunning) manager.ready();
  };
  tellStatus();
  manager.ready();
  // Not before it listens: a start is over sooner so.
  void service.load().then(tellStatus, (error: unknown) => {
    const cause = error instanceof Error ? error : new Error(String(error));
    unable.resolve({ kind: "unable", cause });
  });
  let reloads = Promise.resolve();
  onReload(() => {
    reloads = reloads.then(reload);
  });
  const beat = setInterval(() => {
    service.check();
    tellStatus();
  }, limits.beatIntervalMs);
  try {
    return await Promise.race([stopped, unable.promise]);
  } finally {
    isRunning = false;
    clearInterval(beat);
  }
}

/** What `systemctl status` shows: where it listens, and how each model is. */
function statusOf(url: URL, { backends }: Servable): string {
  const models = backends.map(({ exactId, state }) => {
    const { kind, ...rest } = state();
    return "why" in rest ? `${exactId}: ${kind}: ${rest.why}` : `${exactId}: ${kind}`;
  });
  return [`listening on ${url.href}`, ...models].join("; ");
}

async function stopInTime(service: Servable, log: Log): Promise<number> {
  const late = Promise.withResolvers<number>();
  const timer = setTimeout(() => {
    log.error("work was still under way at the deadline, and was cut", {
      timeout_ms: limits.shutdownTimeoutMs,
    });
    late.resolve(1);
  }, limits.shutdownTimeoutMs);
  try {
    return await Promise.race([service.stop().then(() => 0), late.promise]);
  } finally {
    clearTimeout(timer);
  }
}

/** One sentence with the mend for what keeps a service from starting. */
function startFailure(error: unknown, port: number): string {
  switch (listenFaultOf(error)) {
    case "taken":
      return `the port is taken (${port}): stop the other program, take over from it with --takeover if it is imagesvc, or choose another with PORT or --port`;
    case "no-address":
      return "HOST is no address of this machine: use 127.0.0.1 for itself alone, or 0.0.0.0 for all";
    case "no-name-server":
      return "HOST cannot be looked up, no name server answers: name an address, such as 127.0.0.1 or 0.0.0.0";
    case "not-allowed":
      return `this user may not listen on port ${port}: choose a PORT of 1024 or higher`;
    default:
      return `could not start: ${messageOf(error)}`;
  }
}
