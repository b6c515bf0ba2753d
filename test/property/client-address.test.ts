import { describe, expect, test } from "bun:test";
import fc from "fast-check";
import {
  clientNetwork,
  findClientAddress,
  findTrustedProxiesFaults,
  isTrustedProxy,
  parseTrustedProxies,
} from "../../src/net/client-address.ts";
import { parseIpAddress } from "../../src/net/ip-address.ts";

/** The client as it is counted. */
function clientOf(peer: string | undefined, header: string | null, trusted: readonly string[]) {
  const address = findClientAddress(peer, header, parseTrustedProxies(trusted));
  return address && clientNetwork(address);
}

describe("the client", () => {
  const proxies = ["127.0.0.1", "10.0.0.0/8", "fd00::/8"];

  test.each([
    ["a client without a proxy", "203.0.113.7", null, "203.0.113.7"],
    ["a stranger that sends the header", "203.0.113.7", "198.51.100.1", "203.0.113.7"],
    ["a proxy that sends none", "127.0.0.1", null, "127.0.0.1"],
    ["a client behind a proxy", "127.0.0.1", "203.0.113.7", "203.0.113.7"],
    ["a client that lies to the proxy", "127.0.0.1", "198.51.100.1, 203.0.113.7", "203.0.113.7"],
    ["two proxies", "127.0.0.1", "203.0.113.7, 10.0.0.2", "203.0.113.7"],
    ["two proxies and a lie", "127.0.0.1", "8.8.8.8,203.0.113.7,10.0.0.2", "203.0.113.7"],
    ["nobody but proxies", "127.0.0.1", "10.0.0.3, 10.0.0.2", "10.0.0.3"],
    ["a client on the proxy's host", "127.0.0.1", "127.0.0.1", "127.0.0.1"],
    ["a port", "127.0.0.1", "203.0.113.7:5678", "203.0.113.7"],
    ["IPv6", "127.0.0.1", "2001:db8::1", "2001:db8:0:0::/64"],
    ["IPv6 in brackets", "127.0.0.1", "[2001:db8::1]", "2001:db8:0:0::/64"],
    ["IPv6 and a port", "127.0.0.1", "[2001:db8:a:b:c::1]:443", "2001:db8:a:b::/64"],
    ["a proxy with a port", "127.0.0.1", "203.0.113.7, [fd00::9]:1234", "203.0.113.7"],
    ["a proxy over IPv6", "fd00::9", "203.0.113.7", "203.0.113.7"],
    ["an IPv4 proxy at an IPv6 socket", "::ffff:127.0.0.1", "203.0.113.7", "203.0.113.7"],
    ["an IPv4 client at an IPv6 socket", "::ffff:203.0.113.7", null, "203.0.113.7"],
    ["an IPv4 client in an IPv6 spelling", "127.0.0.1", "::ffff:203.0.113.7", "203.0.113.7"],
    ["a zone", "fe80::1%eth0", null, "fe80:0:0:0::/64"],
    ["a word", "127.0.0.1", "203.0.113.7, unknown", "127.0.0.1"],
    ["a word behind a proxy", "127.0.0.1", "203.0.113.7, x, 10.0.0.2", "10.0.0.2"],
    ["an empty entry", "127.0.0.1", "203.0.113.7,", "127.0.0.1"],
    ["an empty header", "127.0.0.1", "", "127.0.0.1"],
    ["a port that is none", "127.0.0.1", "203.0.113.7:99999", "127.0.0.1"],
    ["an octal address", "127.0.0.1", "0313.0.113.7", "127.0.0.1"],
    ["a socket without an address", undefined, "203.0.113.7", undefined],
  ])("%s", (_what, peer, header, client) => {
    expect(clientOf(peer, header, proxies)).toBe(client);
  });

  test("no header of a stranger changes anything", () => {
    fc.assert(
      fc.property(fc.oneof(fc.ipV4(), fc.ipV6()), headers, (peer, header) => {
        expect(clientOf(peer, header, [])).toBe(clientOf(peer, null, []));
      }),
    );
  });

  test("nothing that a client writes left of what the proxy appends changes anything", () => {
    fc.assert(
      fc.property(fc.string(), strangers, fc.integer({ min: 0, max: 3 }), (lie, client, hops) => {
        const path = [client, ...Array<string>(hops).fill("10.1.2.3")].join(", ");
        const expected = clientOf(client, null, []);
        expect(clientOf("127.0.0.1", path, proxies)).toBe(expected);
        expect(clientOf("127.0.0.1", `${lie}, ${path}`, proxies)).toBe(expected);
      }),
    );
  });

  test("whatever a proxy sends, there is a client, and it never throws", () => {
    fc.assert(
      fc.property(headers, (header) => {
        expect(clientOf("127.0.0.1", header, ["0.0.0.0/0", "::/0"])).toBeDefined();
      }),
    );
  });

  const strangers = fc.ipV4().filter((text) => !/^(10|127)\./.test(text));
  const headers = fc.oneof(
    fc.string(),
    fc.array(fc.oneof(fc.ipV4(), fc.ipV6(), fc.string())).map((entries) => entries.join(",")),
  );
});

describe("what counts as one client", () => {
  const network = (text: string) => {
    const address = parseIpAddress(text);
    if (address === undefined) throw new RangeError(text);
    return clientNetwork(address);
  };

  test("an IPv4 address is itself", () => {
    fc.assert(
      fc.property(fc.ipV4(), (text) => {
        expect(network(text)).toBe(text);
      }),
    );
  });

  test("an IPv6 address is its first 64 bits, and nothing else of it", () => {
    const groups = fc.array(fc.integer({ min: 0, max: 0xffff }), { minLength: 4, maxLength: 4 });
    const hex = (numbers: readonly number[]) => numbers.map((one) => one.toString(16)).join(":");
    fc.assert(
      fc.property(groups, groups, (prefix, host) => {
        expect(network(`${hex(prefix)}:${hex(host)}`)).toBe(`${hex(prefix)}::/64`);
      }),
    );
  });
});

describe("TRUSTED_PROXIES", () => {
  test.each([
    ["127.0.0.1", "127.0.0.1", true],
    ["127.0.0.1", "::ffff:127.0.0.1", true],
    ["127.0.0.1", "127.0.0.2", false],
    ["127.0.0.1", "::1", false],
    ["::1", "::1", true],
    ["::ffff:10.0.0.1", "10.0.0.1", true],
    ["::ffff:10.0.0.0/104", "10.9.9.9", true],
    ["::ffff:10.0.0.0/104", "11.0.0.0", false],
    ["10.0.0.0/8", "10.255.255.255", true],
    ["10.0.0.0/8", "11.0.0.0", false],
    ["fd00::/8", "fd12::1", true],
    ["fe80::/10", "fe80::1%eth0", true],
    ["0.0.0.0/0", "::1", false],
    ["::/0", "10.0.0.1", false],
  ])("%s names %s: %p", (entry, peer, isTrusted) => {
    expect(isTrustedProxy(peer, parseTrustedProxies([entry]))).toBe(isTrusted);
  });

  test("a socket without an address is no trusted proxy", () => {
    expect(isTrustedProxy(undefined, parseTrustedProxies(["0.0.0.0/0", "::/0"]))).toBe(false);
  });

  test("every entry that is no address and no CIDR is named", () => {
    const entries = ["10.0.0.0/33", "127.0.0.1", "[::1]", "127.0.0.1:80", "::1/129", "fd00::"];
    expect(findTrustedProxiesFaults(entries)).toEqual([
      'TRUSTED_PROXIES contains "10.0.0.0/33", "[::1]", "127.0.0.1:80", "::1/129": each must be an address or a CIDR',
    ]);
    expect(() => parseTrustedProxies(entries)).toThrow(RangeError);
    expect(findTrustedProxiesFaults(["10.0.0.1", "::1"])).toEqual([]);
  });
});
