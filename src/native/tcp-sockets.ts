/** The kernel's table of TCP sockets, and whose they are. Linux only. */
import { readdirSync, readFileSync, readlinkSync } from "node:fs";
import type { IpAddress } from "../net/ip-address.ts";

/** One row of the table. */
export interface TcpSocket {
  /** Local address as the kernel writes it: 32-bit words in hex, each in the host's byte order. */
  readonly address: string;
  readonly isListening: boolean;
  /** Decimal; `0` for a connection that nobody has accepted yet. */
  readonly inode: string;
}

/** `TCP_LISTEN` of the kernel's `enum tcp_state`, in hex. */
const TCP_LISTEN = "0A";

/** The sockets of this network namespace whose local port is `port`; none where there is no such table. */
export function readTcpSockets(port: number): TcpSocket[] {
  // Not under /proc/net, which is the same: a sandbox may hide all of /proc but the processes.
  return ["/proc/self/net/tcp", "/proc/self/net/tcp6"].flatMap((path) =>
    parseTcpTable(readIfThere(path), port),
  );
}

/** @see https://docs.kernel.org/networking/proc_net_tcp.html for the columns. */
export function parseTcpTable(text: string, port: number): TcpSocket[] {
  const suffix = `:${port.toString(16).toUpperCase().padStart(4, "0")}`;
  return text.split("\n").flatMap((line) => {
    const [, local, , state, , , , , , inode] = line.trim().split(/\s+/);
    if (local === undefined || inode === undefined || !local.endsWith(suffix)) return [];
    const address = local.slice(0, -suffix.length);
    return [{ address, isListening: state === TCP_LISTEN, inode }];
  });
}

/** An address as the table of a little-endian host writes it. */
export function tableAddressOf({ bits, value }: IpAddress): string {
  const bytes = Buffer.from(value.toString(16).padStart(bits / 4, "0"), "hex");
  return bytes.swap32().toString("hex").toUpperCase();
}

/** Whether a table's address stands for every address of the host: `0.0.0.0` or `::`. */
export function isWildcard(tableAddress: string): boolean {
  return /^0+$/.test(tableAddress);
}

/** This process's sockets: inode → file descriptor. */
export function ownSockets(): Map<string, number> {
  return socketsOf("self");
}

/** The process that holds a socket, if it is one of the same user. */
export function findOwner(inode: string): number | undefined {
  const processes = readdirSync("/proc").filter((name) => /^\d+$/.test(name));
  const owner = processes.find((pid) => socketsOf(pid).has(inode));
  return owner === undefined ? undefined : Number(owner);
}

function socketsOf(pid: string): Map<string, number> {
  const folder = `/proc/${pid}/fd`;
  const sockets = new Map<string, number>();
  for (const descriptor of orNothing(() => readdirSync(folder)) ?? []) {
    const target = orNothing(() => readlinkSync(`${folder}/${descriptor}`)) ?? "";
    const [, inode] = /^socket:\[(\d+)\]$/.exec(target) ?? [];
    if (inode !== undefined) sockets.set(inode, Number(descriptor));
  }
  return sockets;
}

function readIfThere(path: string): string {
  return orNothing(() => readFileSync(path, "utf8")) ?? "";
}

/** Processes and their descriptors come and go, and others' are hidden. */
function orNothing<T>(read: () => T): T | undefined {
  try {
    return read();
  } catch {
    return undefined;
  }
}
