import { closeSync, openSync } from "node:fs";
import { codeOf } from "../errors.ts";
import type { Log } from "../log.ts";

interface DescriptorWatchOptions {
  /** Closes the connections that only wait for a next request. @returns how many. */
  readonly closeIdleConnections: () => number;
  readonly log: Log;
}

/**
 * Makes a check, to be done now and then, whether this process can open another file. Where it cannot, it cannot
 * take a connection either, and Bun asks for the waiting one again and again, on a whole core: so connections
 * that do nothing give way, and the log says it once. Those that are silent in a request's head end by
 * themselves (`limits.idleTimeoutS`).
 */
export function createDescriptorWatch(options: DescriptorWatchOptions): () => void {
  const { closeIdleConnections, log } = options;
  let isOut = false;
  return () => {
    const wasOut = isOut;
    isOut = !canOpen();
    const closed = isOut ? closeIdleConnections() : 0;
    if (isOut && !wasOut) {
      const message =
        "no file descriptor is left, so that new connections wait: raise the limit of open files (LimitNOFILE= of the unit, or ulimit -n)";
      log.warn(message, { closed });
    }
    if (wasOut && !isOut) log.info("there are file descriptors again");
  };
}

function canOpen(): boolean {
  try {
    closeSync(openSync("/dev/null", "r"));
    return true;
  } catch (error) {
    const isOutOfThem = ["EMFILE", "ENFILE"].includes(codeOf(error));
    return !isOutOfThem;
  }
}
