/** How an instance leaves its port to the one that has taken it over, without a request being lost. */
import { limits } from "../limits.ts";
import type { Log } from "../log.ts";
import type { Lifecycle } from "./lifecycle.ts";
import { viewPort } from "./listener.ts";

/**
 * Goes on listening, for new connections come to the other instance anyway, and those whose handshake had
 * begun here must not be refused. Every answer closes its connection; an idle one ends by the usual
 * timeout, because whoever closes it may do so while its client is just sending.
 *
 * @returns true once the connections are gone, or at `limits.handOverTimeoutMs`; false when nobody else
 *   listens (any more), and this instance must go on, or when it stops for another reason.
 */
export async function handOver(port: number, lifecycle: Lifecycle, log: Log): Promise<boolean> {
  // Once it stops there is no socket to look at, and nothing to hand over.
  if (lifecycle.isDraining || lifecycle.isHandingOver) return false;
  if (viewPort(port).otherListeners === 0) return false;
  const startedAt = performance.now();
  lifecycle.isHandingOver = true;
  log.info("handing over: another instance has the port");
  while (!lifecycle.isDraining) {
    const { otherListeners, connections } = viewPort(port);
    if (otherListeners === 0) {
      log.warn("the other instance is gone: this one goes on");
      lifecycle.isHandingOver = false;
      return false;
    }
    const passedMs = performance.now() - startedAt;
    if (connections === 0 && passedMs > limits.handOverSettleMs) return true;
    if (passedMs > limits.handOverTimeoutMs) return true;
    await Bun.sleep(limits.handOverPollMs);
  }
  return false;
}
