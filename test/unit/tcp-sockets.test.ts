import { expect, test } from "bun:test";
import {
  findOwner,
  isWildcard,
  ownSockets,
  parseTcpTable,
  readTcpSockets,
  tableAddressOf,
} from "../../src/native/tcp-sockets.ts";
import { parseIpAddress } from "../../src/net/ip-address.ts";

const table = `  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode
   0: 0100007F:1F90 00000000:0000 0A 00000000:00000000 00:00000000 00000000  1000        0 21701 1 0000000000000000 100 0 0 10 0
   1: 0100007F:1F90 0100007F:B2C4 01 00000000:00000000 00:00000000 00000000  1000        0 21702 1 0000000000000000 20 4 30 10 -1
   2: 0100007F:B2C4 0100007F:1F90 01 00000000:00000000 00:00000000 00000000  1000        0 21703 1 0000000000000000 20 4 30 10 -1
`;

test("the table's rows of a port are read, whichever side it is of others", () => {
  expect(parseTcpTable(table, 8080)).toEqual([
    { address: "0100007F", isListening: true, inode: "21701" },
    { address: "0100007F", isListening: false, inode: "21702" },
  ]);
  expect(parseTcpTable("", 8080)).toEqual([]);
});

/** The address as the table writes it. */
function written(text: string): string {
  const address = parseIpAddress(text);
  if (address === undefined) throw new Error(`${text} is no address`);
  return tableAddressOf(address);
}

test.each(["127.0.0.1", "0.0.0.0", "::1", "::"])(
  "a listener on %s is found by its address, as this process's own",
  async (hostname) => {
    const server = Bun.serve({ hostname, port: 0, fetch: () => new Response() });
    const listeners = readTcpSockets(server.port ?? 0).filter(({ isListening }) => isListening);
    expect(listeners.map(({ address }) => address)).toEqual([written(hostname)]);
    const [{ inode } = { inode: "none" }] = listeners;
    expect(ownSockets().has(inode)).toBe(true);
    expect(findOwner(inode)).toBe(process.pid);
    await server.stop(true);
  },
);

test("the wildcards are those of both families, and nothing else is", () => {
  expect(["0.0.0.0", "::"].map(written).map(isWildcard)).toEqual([true, true]);
  expect(["127.0.0.1", "::1", "10.0.0.0"].map(written).map(isWildcard)).toEqual([
    false,
    false,
    false,
  ]);
});
