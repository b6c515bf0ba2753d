/** The socket that a server of this process listens on, and those of others beside it. */
import { allowSharing, steerConnections } from "../native/port-sharing.ts";
import { ownSockets, readTcpSockets } from "../native/tcp-sockets.ts";

/** The sockets of a port, seen from the process that listens there. */
interface PortView {
  /** File descriptor of its own listening socket. */
  readonly descriptor: number;
  /** How many others listen on exactly the same address. */
  readonly otherListeners: number;
  /** How many connections it has accepted and not closed. */
  readonly connections: number;
}

/**
 * Looks at a port that this process listens on.
 *
 * @throws Error if the kernel's table does not show it.
 */
export function viewPort(port: number): PortView {
  const own = ownSockets();
  const sockets = readTcpSockets(port);
  const listener = sockets.find(({ isListening, inode }) => isListening && own.has(inode));
  const descriptor = own.get(listener?.inode ?? "");
  if (listener === undefined || descriptor === undefined) {
    throw new Error("the listening socket is not to be seen under /proc");
  }
  const others = sockets.filter(
    ({ isListening, address, inode }) =>
      isListening && address === listener.address && inode !== listener.inode,
  );
  const connections = sockets.filter(({ isListening, inode }) => !isListening && own.has(inode));
  return { descriptor, otherListeners: others.length, connections: connections.length };
}

/**
 * Lets a later instance take the port over.
 *
 * @throws Error if that is not possible here.
 */
export function shareAddress(port: number): void {
  allowSharing(viewPort(port).descriptor);
}

/**
 * Draws new connections to this process, which listens beside the instance that it takes over from.
 *
 * @throws Error if somebody else is doing the same, or the kernel refuses.
 */
export function takeOverAddress(port: number): void {
  const { descriptor, otherListeners } = viewPort(port);
  if (otherListeners > 1) {
    throw new Error("another instance is taking over just now: try again once it is done");
  }
  // Listeners count in the order in which they began, and this one was the last.
  steerConnections(descriptor, otherListeners);
}
