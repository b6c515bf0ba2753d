/** Datagrams to a service manager: Node's and Bun's `dgram` know no unix sockets. */
import { dlopen, FFIType } from "bun:ffi";

/** Constants of Linux's socket(2), send(2), unix(7) and clock_gettime(2): the same for x64 and arm64. */
const AF_UNIX = 1;
const SOCK_DGRAM_CLOEXEC = 0o2000002;
const MSG_DONTWAIT_NOSIGNAL = 0x4040;
const CLOCK_MONOTONIC = 1;
/** Bytes of `sun_path`. */
const MAX_PATH_BYTES = 108;

/** The way to the service manager. */
export interface NotifySocket {
  /** Sends one datagram, never waits. Returns whether it is on its way. */
  send(message: string): boolean;
  /** µs of CLOCK_MONOTONIC; `process.hrtime` counts from the start of the process under Bun. */
  monotonicUs(): bigint;
}

/**
 * Opens the way to a service manager.
 *
 * @param address `$NOTIFY_SOCKET`: an absolute path, or `@` and an abstract name.
 * @returns undefined where the address is of another kind, or the C library cannot be called.
 * @see sd_notify(3)
 */
export function openNotifySocket(address: string): NotifySocket | undefined {
  const target = toSocketAddress(address);
  const libc = openLibc();
  if (target === undefined || libc === undefined) return undefined;
  return {
    send: (message) => {
      const bytes = new TextEncoder().encode(message);
      const socket = libc.socket(AF_UNIX, SOCK_DGRAM_CLOEXEC, 0);
      if (socket < 0) return false;
      const { length } = bytes;
      const sent = libc.sendto(socket, bytes, length, MSG_DONTWAIT_NOSIGNAL, target, target.length);
      libc.close(socket);
      return Number(sent) === length;
    },
    monotonicUs: () => {
      const [seconds, nanoseconds] = readClock(libc);
      return seconds * 1_000_000n + nanoseconds / 1000n;
    },
  };
}

/** `struct sockaddr_un`: two bytes of family, then the path; an abstract name has a zero byte for its `@`. */
function toSocketAddress(address: string): Uint8Array | undefined {
  const path = new TextEncoder().encode(address);
  const isAbstract = address.startsWith("@");
  if (!isAbstract && !address.startsWith("/")) return undefined;
  if (path.length < 2 || path.length > (isAbstract ? MAX_PATH_BYTES : MAX_PATH_BYTES - 1)) {
    return undefined;
  }
  if (isAbstract) path[0] = 0;
  // The family in the machine's byte order; a path ends with a zero byte, an abstract name with its length.
  const family = new Uint8Array(Uint16Array.of(AF_UNIX).buffer);
  return Uint8Array.of(...family, ...path, ...(isAbstract ? [] : [0]));
}

function openLibc() {
  try {
    return dlopen("libc.so.6", {
      socket: { args: [FFIType.i32, FFIType.i32, FFIType.i32], returns: FFIType.i32 },
      sendto: {
        args: [FFIType.i32, FFIType.ptr, FFIType.u64, FFIType.i32, FFIType.ptr, FFIType.u32],
        returns: FFIType.i64,
      },
      close: { args: [FFIType.i32], returns: FFIType.i32 },
      clock_gettime: { args: [FFIType.i32, FFIType.ptr], returns: FFIType.i32 },
    }).symbols;
  } catch {
    return undefined;
  }
}

/** `struct timespec`: seconds and nanoseconds. */
function readClock(libc: NonNullable<ReturnType<typeof openLibc>>): readonly [bigint, bigint] {
  const timespec = new BigInt64Array(2);
  libc.clock_gettime(CLOCK_MONOTONIC, timespec);
  return [timespec[0] ?? 0n, timespec[1] ?? 0n];
}
