/** `imagesvc serve`: a service from its start to its clean end. */
import { messageOf } from "../errors.ts";
import { limits } from "../limits.ts";
import type { Log } from "../log.ts";

/** What is served, as far as its life is concerned. */
export interface Servable {
  listen(): Promise<URL>;
  load(): Promise<void>;
  stop(): Promise<void>;
}

/** Why the service must stop. */
export type StopReason =
  | { readonly kind: "signal"; readonly name: string }
  | { readonly kind: "worker-lost"; readonly cause: Error };

/** Calls back once for each reason to stop, as they come. */
export type OnStop = (stop: (reason: StopReason) => void) => void;

/**
 * Listens, loads the models beside, and serves until there is a reason to stop. A second signal ends
 * at once.
 *
 * @returns the exit code: 0 after a clean stop, 1 when it failed or a worker was lost, 130 at a second signal.
 */
export async function serve(service: Servable, onStop: OnStop, log: Log): Promise<number> {
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
  try {
    const url = await service.listen();
    log.info("listening", { url: url.href });
  } catch (error) {
    log.error(startFailure(error));
    return 1;
  }
  void service.load();
  const reason = await first.promise;
  if (reason.kind === "signal") log.info("stopping", { signal: reason.name });
  else
    log.error("a worker is lost: stopping, to be started again", { cause: reason.cause.message });
  const code = await Promise.race([stopInTime(service, log), second.promise]);
  log.info("stopped", { code });
  return reason.kind === "signal" ? code : 1;
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
function startFailure(error: unknown): string {
  const code = error instanceof Error && "code" in error ? String(error.code) : "";
  switch (code) {
    case "EADDRINUSE":
      return "the port is taken: stop the other program, or choose another with PORT or --port";
    case "EADDRNOTAVAIL":
    case "EINVAL":
    case "ENOTFOUND":
      return "HOST is no address of this machine: use 127.0.0.1 for itself alone, or 0.0.0.0 for all";
    case "EACCES":
    case "EPERM":
    case "EROFS":
      return `not allowed (${code}): make DOWNLOADS_DIR writable for this user, and PORT 1024 or higher`;
    case "EEXIST":
    case "ENOENT":
    case "ENOTDIR":
      return "DOWNLOADS_DIR cannot be made a folder: choose another path";
    case "ENOSPC":
      return "the disk of DOWNLOADS_DIR is full: free space, or point it elsewhere";
    default:
      return `could not start: ${messageOf(error)}`;
  }
}
