import { readdirSync, readFileSync, readlinkSync } from "node:fs";

/** Remote ends, as `/proc/net` writes them, of this process's connected TCP and UDP sockets. */
export function connectedSockets(): string[] {
  const own = new Set(readdirSync("/proc/self/fd").map(linkOf));
  return ["tcp", "tcp6", "udp", "udp6"].flatMap((protocol) =>
    readFileSync(`/proc/self/net/${protocol}`, "utf8")
      .split("\n")
      .slice(1)
      .map((line) => line.trim().split(/\s+/))
      .filter(([, , remote = "", , , , , , , inode]) => {
        const isConnected = !/^0*:0*$/.test(remote);
        return isConnected && own.has(`socket:[${inode}]`);
      })
      .map(([, , remote]) => `${protocol} ${remote}`),
  );
}

function linkOf(descriptor: string): string {
  try {
    return readlinkSync(`/proc/self/fd/${descriptor}`);
  } catch {
    return ""; // The listing's own descriptor is closed by now.
  }
}
