import { codeOf } from "../errors.ts";

/** What keeps a socket from being listened on. */
export type ListenFault =
  /** Another program listens there. */
  | "taken"
  /** This user may not. */
  | "not-allowed"
  /** The host is no address of this machine. */
  | "no-address"
  /** The host cannot be looked up: no name server answers. */
  | "no-name-server";

/** @returns undefined for whatever else an error is. */
export function listenFaultOf(error: unknown): ListenFault | undefined {
  switch (codeOf(error)) {
    case "EADDRINUSE":
      return "taken";
    case "EACCES":
    case "EPERM":
      return "not-allowed";
    case "EADDRNOTAVAIL":
    case "EINVAL":
    case "ENOTFOUND":
      return "no-address";
    case "EAGAIN":
      // What Bun makes of getaddrinfo's EAI_AGAIN.
      return "no-name-server";
    default:
      return undefined;
  }
}
