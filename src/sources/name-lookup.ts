import { Resolver, setServers } from "node:dns";
import { statSync } from "node:fs";
import { dns } from "bun";
import { Problem } from "../errors.ts";

/**
 * Every address of a host name, as text, in the order to try them.
 *
 * @throws Error with a `code` that begins with `DNS_`; Problem `overloaded`.
 */
export type LookUp = (hostname: string) => Promise<readonly string[]>;

const serversFile = "/etc/resolv.conf";

/**
 * Makes a look-up in `/etc/hosts` and by DNS. It is c-ares's, which waits for answers without a thread.
 * The system's own (`getaddrinfo`) would let a stranger in: it holds one of as many threads as there are
 * cores until a silent name server is given up, so a few such names would stop every other look-up, and
 * with them the writing of files, which wants the same threads.
 *
 * @param maxUnderWay look-ups at once: one more is refused. c-ares gives a silent server up after some 24 s, and
 *   cannot be told that nobody waits any more.
 */
export function createLookUp(maxUnderWay: number): LookUp {
  let underWay = 0;
  let serversChangedAtMs = changedAtMs(serversFile);
  return async (hostname) => {
    if (underWay >= maxUnderWay) throw tooManyLookUps();
    const changedAt = changedAtMs(serversFile);
    if (changedAt !== serversChangedAtMs) {
      serversChangedAtMs = changedAt;
      rereadServers();
    }
    underWay += 1;
    try {
      const records = await dns.lookup(hostname, { backend: "c-ares" });
      const addresses = [...new Set(records.map(({ address }) => address))];
      // IPv4 comes first: where IPv6 is broken, connecting to it usually hangs instead of failing.
      return addresses.sort((a, b) => Number(a.includes(":")) - Number(b.includes(":")));
    } finally {
      underWay -= 1;
    }
  };
}

/** Bun reads the list once in a process's life, and only a resolver that is made anew sees a later one. */
function rereadServers(): void {
  const servers = new Resolver().getServers();
  if (servers.length > 0) setServers(servers);
}

function changedAtMs(file: string): number | undefined {
  return statSync(file, { throwIfNoEntry: false })?.mtimeMs;
}

function tooManyLookUps(): Problem {
  const detail =
    "Too many host names are being looked up: try again in a few seconds, or upload the bytes.";
  return new Problem("overloaded", detail, { retryAfterS: 10 });
}
