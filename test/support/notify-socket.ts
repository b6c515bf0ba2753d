/** What stands in for systemd: a unix datagram socket that keeps what it is told. */
import { dlopen, FFIType } from "bun:ffi";
import { randomUUID } from "node:crypto";

const AF_UNIX = 1;
const SOCK_DGRAM = 2;
const MSG_DONTWAIT = 0x40;

export interface NotifySocketFake extends Disposable {
  /** What `$NOTIFY_SOCKET` must be. */
  readonly address: string;
  /** Every datagram so far, in order. */
  messages(): readonly string[];
  /** Resolves with the first datagram that matches, once it is there. */
  told(pattern: RegExp): Promise<string>;
}

/**
 * Listens.
 *
 * @param address an absolute path; or `@` and an abstract name, which needs no clean-up.
 * @throws Error if the address is taken.
 */
export function listenForNotices(address = `@imagesvc-test-${randomUUID()}`): NotifySocketFake {
  const libc = openLibc();
  const socket = libc.socket(AF_UNIX, SOCK_DGRAM, 0);
  const target = socketAddress(address);
  if (libc.bind(socket, target, target.length) !== 0) throw new Error(`${address} is taken`);
  const messages: string[] = [];
  const buffer = new Uint8Array(65_536);
  const receive = () => {
    for (;;) {
      const length = Number(libc.recv(socket, buffer, buffer.length, MSG_DONTWAIT));
      if (length < 0) return messages;
      messages.push(new TextDecoder().decode(buffer.subarray(0, length)));
    }
  };
  return {
    address,
    messages: receive,
    told: async (pattern) => {
      for (;;) {
        const found = receive().find((message) => pattern.test(message));
        if (found !== undefined) return found;
        await Bun.sleep(5);
      }
    },
    [Symbol.dispose]: () => void libc.close(socket),
  };
}

function socketAddress(address: string): Uint8Array {
  const path = address.startsWith("@") ? `\0${address.slice(1)}` : `${address}\0`;
  return Uint8Array.of(AF_UNIX, 0, ...new TextEncoder().encode(path));
}

function openLibc() {
  return dlopen("libc.so.6", {
    socket: { args: [FFIType.i32, FFIType.i32, FFIType.i32], returns: FFIType.i32 },
    bind: { args: [FFIType.i32, FFIType.ptr, FFIType.u32], returns: FFIType.i32 },
    recv: {
      args: [FFIType.i32, FFIType.ptr, FFIType.u64, FFIType.i32],
      returns: FFIType.i64,
    },
    close: { args: [FFIType.i32], returns: FFIType.i32 },
  }).symbols;
}
