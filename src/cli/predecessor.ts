/** The instance that runs already, as a new one sees it that wants its port. */
import { lookup } from "node:dns/promises";
import { messageOf } from "../errors.ts";
import { limits } from "../limits.ts";
import { findOwner, isWildcard, readTcpSockets, tableAddressOf } from "../native/tcp-sockets.ts";
import { parseIpAddress } from "../net/ip-address.ts";

/** An instance that listens where another wants to. */
export interface Predecessor {
  readonly processId: number;
  /** Plain ids of the models that it serves now. */
  readonly readyModels: readonly string[];
}

/**
 * Finds the instance that listens on an address.
 *
 * @param host as HOST gives it: an address, or a name that resolves to one.
 * @returns undefined if nobody listens there.
 * @throws Error with one sentence and its mend, if whoever listens is nobody to take over from.
 */
export async function findPredecessor(
  host: string,
  port: number,
): Promise<Predecessor | undefined> {
  const { address } = await lookup(host);
  const ip = parseIpAddress(address);
  if (ip === undefined)
    throw new Error(`HOST has the address ${address}, which has a zone: name one without`);
  const wanted = tableAddressOf(ip);
  const listeners = readTcpSockets(port).filter(({ isListening }) => isListening);
  const [listener, second] = listeners.filter((socket) => socket.address === wanted);
  if (
    listeners.some(
      (socket) => socket.address !== wanted && [socket.address, wanted].some(isWildcard),
    )
  ) {
    throw new Error(
      "who listens on this port does so on another HOST: give the same, or stop it first",
    );
  }
  if (listener === undefined) return undefined;
  if (second !== undefined) {
    throw new Error("another instance is taking over just now: try again once it is done");
  }
  const processId = findOwner(listener.inode);
  if (processId === undefined) {
    throw new Error(
      "another user's program has the port: take over as the user that runs it, or stop it first",
    );
  }
  return { processId, readyModels: await askReadyModels(urlOf(address, port)) };
}

/** Where an instance answers that listens on `address`. */
function urlOf(address: string, port: number): string {
  const reachable = { "0.0.0.0": "127.0.0.1", "::": "::1" }[address] ?? address;
  return `http://${reachable.includes(":") ? `[${reachable}]` : reachable}:${port}`;
}

/** Plain ids of the models that an instance says are ready; only ours answers like that. */
async function askReadyModels(origin: string): Promise<string[]> {
  try {
    const signal = AbortSignal.timeout(limits.predecessorTimeoutMs);
    // Without a connection that is kept: it would be the last that the other one waits for.
    const response = await fetch(`${origin}/readyz`, { signal, keepalive: false });
    const answer: unknown = await response.json();
    return readReadyModels(answer);
  } catch (cause) {
    const why = `whoever has the port does not answer like imagesvc (${messageOf(cause)})`;
    throw new Error(`${why}: stop it, or choose another port with PORT or --port`, { cause });
  }
}

/**
 * Reads the answer of `/readyz`.
 *
 * @returns ids without what follows their `@`: the weights may be others.
 * @throws Error if it is somebody else's.
 */
export function readReadyModels(answer: unknown): string[] {
  const models = property(answer, "models");
  if (!Array.isArray(models)) throw new Error("no models");
  return models.flatMap((model: unknown) => {
    const id = property(model, "id");
    if (typeof id !== "string") throw new Error("a model without id");
    return property(model, "state") === "ready" ? [plainId(id)] : [];
  });
}

/** `clip-ViT-B-32@synthetic` → `clip-ViT-B-32`. */
export function plainId(id: string): string {
  return id.replace(/@.*/, "");
}

function property(value: unknown, name: string): unknown {
  return typeof value === "object" && value !== null ? Reflect.get(value, name) : undefined;
}
