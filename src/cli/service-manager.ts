/** What a service tells its service manager: systemd, or whoever set `$NOTIFY_SOCKET`. */
import type { Log } from "../log.ts";
import { openNotifySocket } from "../native/notify.ts";
import type { Environment } from "./command-call.ts";

/** Every call returns at once and never throws; without a service manager it does nothing. */
export interface ServiceManager {
  /** It listens; or the reload is over. */
  ready(): void;
  /** This process serves in place of the one that was started, and is to be watched instead. */
  tookOver(): void;
  reloading(): void;
  stopping(): void;
  /** One line for `systemctl status`; told only when it has changed. */
  status(line: string): void;
  /** Tells the watchdog again and again, as long as the event loop turns, that it does; until disposed. */
  watch(): Disposable;
}

/**
 * Makes the way to the service manager.
 *
 * @param processId of this process: `$WATCHDOG_PID` of another means that the watchdog watches that one.
 * @see sd_notify(3), sd_watchdog_enabled(3)
 */
export function createServiceManager(
  environment: Environment,
  processId: number,
  log: Pick<Log, "debug">,
): ServiceManager {
  const address = environment["NOTIFY_SOCKET"];
  if (!address) return silent;
  const socket = openNotifySocket(address);
  if (socket === undefined) {
    log.debug("the service manager cannot be told: NOTIFY_SOCKET is not usable");
    return silent;
  }
  const send = (...assignments: readonly string[]) => {
    const isSent = socket.send(assignments.join("\n"));
    if (!isSent) log.debug("the service manager does not listen", { state: assignments[0] });
    return isSent;
  };
  const intervalMs = watchdogIntervalMs(environment, processId);
  let told = "";
  return {
    ready: () => void send("READY=1"),
    tookOver: () => void send(`MAINPID=${processId}`),
    reloading: () => void send("RELOADING=1", `MONOTONIC_USEC=${socket.monotonicUs()}`),
    stopping: () => void send("STOPPING=1"),
    status: (line) => {
      if (line !== told && send(`STATUS=${line.replaceAll(/\s+/g, " ")}`)) told = line;
    },
    watch: () => {
      if (intervalMs === undefined) return nothing;
      send("WATCHDOG=1");
      const timer = setInterval(() => send("WATCHDOG=1"), intervalMs);
      return { [Symbol.dispose]: () => clearInterval(timer) };
    },
  };
}

/** A service manager that hears nothing until this process speaks for the service. */
export interface MutedServiceManager extends ServiceManager {
  speak(): void;
}

/**
 * Keeps an instance silent that is about to take over: what it says of itself would count for the one
 * that still serves.
 */
export function mute(manager: ServiceManager): MutedServiceManager {
  let isMuted = true;
  const unlessMuted =
    <Arguments extends readonly unknown[]>(tell: (...args: Arguments) => void) =>
    (...args: Arguments): void => {
      if (!isMuted) tell(...args);
    };
  return {
    speak: () => {
      isMuted = false;
    },
    ready: unlessMuted(manager.ready),
    tookOver: unlessMuted(manager.tookOver),
    reloading: unlessMuted(manager.reloading),
    stopping: unlessMuted(manager.stopping),
    status: unlessMuted(manager.status),
    watch: () => (isMuted ? nothing : manager.watch()),
  };
}

/** Longest interval that a timer takes. */
const MAX_TIMER_MS = 2 ** 31 - 1;

/** A third of what the watchdog waits: one late tick does not cost the service its life. */
function watchdogIntervalMs(environment: Environment, processId: number): number | undefined {
  const { WATCHDOG_USEC: text = "", WATCHDOG_PID: watched } = environment;
  if (!/^[1-9]\d{0,14}$/.test(text)) return undefined;
  if (watched && watched !== String(processId)) return undefined;
  return Math.min(Math.max(1, Math.floor(Number(text) / 3000)), MAX_TIMER_MS);
}

const nothing: Disposable = { [Symbol.dispose]: () => {} };

/** For a process that nobody manages. */
const silent: ServiceManager = {
  ready: () => {},
  tookOver: () => {},
  reloading: () => {},
  stopping: () => {},
  status: () => {},
  watch: () => nothing,
};
