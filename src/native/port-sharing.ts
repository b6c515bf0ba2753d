/** How two instances listen on one port, and which of them gets the new connections. Linux only. */
import { dlopen, FFIType, ptr } from "bun:ffi";

/** Of `asm-generic/socket.h`. */
const SOL_SOCKET = 1;
const SO_REUSEPORT = 15;
const SO_ATTACH_REUSEPORT_CBPF = 51;
/** `BPF_RET | BPF_K` of `linux/bpf_common.h`: ends the program with a constant. */
const BPF_RET_K = 0x06;

/**
 * Lets a later socket of the same user listen beside this one, if it asks for that by `SO_REUSEPORT`.
 * Setting it only now, on a socket that was bound without it, keeps the bind itself exclusive.
 *
 * @param descriptor a TCP socket that listens.
 * @throws Error if the kernel refuses.
 */
export function allowSharing(descriptor: number): void {
  setSocketOption(descriptor, SO_REUSEPORT, new Uint8Array(Int32Array.of(1).buffer));
}

/**
 * Gives every new connection of a shared port to one of its listeners. When that one is gone, the kernel
 * spreads them over the others again.
 *
 * @param descriptor any of the listeners.
 * @param index which one: 0 is the one that listened first.
 * @throws Error if the kernel refuses.
 * @see https://man7.org/linux/man-pages/man7/socket.7.html under SO_ATTACH_REUSEPORT_CBPF
 */
export function steerConnections(descriptor: number, index: number): void {
  // struct sock_filter { u16 code; u8 jt, jf; u32 k; } and struct sock_fprog { u16 len; sock_filter *filter; }
  const instruction = new DataView(new ArrayBuffer(8));
  instruction.setUint16(0, BPF_RET_K, true);
  instruction.setUint32(4, index, true);
  const program = new DataView(new ArrayBuffer(16));
  program.setUint16(0, 1, true);
  program.setBigUint64(8, BigInt(ptr(instruction)), true);
  setSocketOption(descriptor, SO_ATTACH_REUSEPORT_CBPF, new Uint8Array(program.buffer));
}

function setSocketOption(descriptor: number, name: number, value: Uint8Array): void {
  const libc = dlopen("libc.so.6", {
    setsockopt: {
      args: [FFIType.i32, FFIType.i32, FFIType.i32, FFIType.ptr, FFIType.u32],
      returns: FFIType.i32,
    },
  });
  try {
    const { setsockopt } = libc.symbols;
    if (setsockopt(descriptor, SOL_SOCKET, name, value, value.length) !== 0) {
      throw new Error(`the kernel refused socket option ${name}`);
    }
  } finally {
    libc.close();
  }
}
