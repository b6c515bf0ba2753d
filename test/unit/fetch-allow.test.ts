import { expect, test } from "bun:test";
import { parseFetchAllow } from "../../src/net/fetch-allow.ts";
import { parseIpAddress } from "../../src/net/ip-address.ts";

/** Whether a rule lets an image be fetched from a host at a port, over an address. */
function isAllowed(entries: readonly string[], host: string, port: number, at = host): boolean {
  const address = parseIpAddress(at.replace(/^\[|\]$/g, ""));
  if (address === undefined) throw new RangeError(`not an address: ${at}`);
  return parseFetchAllow(entries)({ hostname: host, port, address });
}

test("without entries only public addresses on ports 80 and 443 are allowed", () => {
  expect(isAllowed([], "images.example", 80, "93.184.216.34")).toBe(true);
  expect(isAllowed([], "images.example", 443, "2606:4700::1")).toBe(true);
  expect(isAllowed([], "images.example", 8080, "93.184.216.34")).toBe(false);
  expect(isAllowed([], "images.example", 0, "93.184.216.34")).toBe(false);
  expect(isAllowed([], "images.example", 80, "10.0.0.1")).toBe(false);
});

test.each([
  ["nas.lan", "nas.lan", 8080, "10.0.0.1", true],
  ["NAS.lan.", "nas.lan", 22, "10.0.0.1", true],
  ["nas.lan", "other.lan", 80, "10.0.0.1", false],
  ["nas.lan", "sub.nas.lan", 80, "10.0.0.1", false],
  ["nas.lan:8080", "nas.lan", 8080, "10.0.0.1", true],
  ["nas.lan:8080", "nas.lan", 80, "10.0.0.1", false],
  ["my_host", "my_host", 80, "10.0.0.1", true],
  ["10.0.0.1", "10.0.0.1", 9000, "10.0.0.1", true],
  ["10.0.0.1", "nas.lan", 9000, "10.0.0.1", true],
  ["10.0.0.1", "10.0.0.2", 80, "10.0.0.2", false],
  ["10.0.0.1:81", "10.0.0.1", 81, "10.0.0.1", true],
  ["10.0.0.1:81", "10.0.0.1", 80, "10.0.0.1", false],
  ["10.0.0.0/8", "nas.lan", 9000, "10.255.255.255", true],
  ["10.1.2.3/8", "nas.lan", 9000, "10.0.0.0", true],
  ["10.0.0.0/8", "nas.lan", 80, "11.0.0.0", true],
  ["10.0.0.0/8", "nas.lan", 81, "11.0.0.0", false],
  ["10.0.0.0/8:81", "nas.lan", 81, "10.1.1.1", true],
  ["10.0.0.0/8:81", "nas.lan", 80, "10.1.1.1", false],
  ["0.0.0.0/0", "nas.lan", 81, "127.0.0.1", true],
  ["0.0.0.0/0", "nas.lan", 81, "::1", false],
  ["::1", "[::1]", 81, "::1", true],
  ["[::1]", "[::1]", 81, "::1", true],
  ["[::1]:81", "[::1]", 81, "::1", true],
  ["[::1]:81", "[::1]", 82, "::1", false],
  ["fd00::/8", "nas.lan", 82, "fdff::1", true],
  ["[fd00::/8]:81", "nas.lan", 81, "fd00::1", true],
  ["[fd00::/8]:81", "nas.lan", 82, "fd00::1", false],
  ["127.0.0.1", "[::ffff:7f00:1]", 80, "::ffff:127.0.0.1", false],
])("%s lets %s port %d at %s through: %p", (entry, host, port, address, expected) => {
  expect(isAllowed([entry], host, port, address)).toBe(expected);
});

test.each([
  "",
  ":80",
  "nas.lan:",
  "nas.lan:0",
  "nas.lan:65536",
  "nas.lan:http",
  "http://nas.lan",
  "nas.lan/24",
  "*.lan",
  "nas..lan",
  ".",
  "[nas.lan]:80",
  "[10.0.0.1]",
  "[[::1]]",
  "10.0.0.0/33",
  "10.0.0.0/",
  "10.0.0/8",
  "010.0.0.1",
  "127.1",
  "0x7f.1",
  "::1/129",
  "fe80::1%eth0",
  "1:2:3",
])("%p is refused by name", (entry) => {
  expect(() => parseFetchAllow(["nas.lan", entry])).toThrow(`"${entry}"`);
});

test("every entry that does not parse is named at once", () => {
  expect(() => parseFetchAllow(["a b", "nas.lan", "c:d"])).toThrow(/"a b", "c:d"/);
});
