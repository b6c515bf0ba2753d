import { describe, expect, test } from "bun:test";
import { isIPv4, isIPv6 } from "node:net";
import fc from "fast-check";
import {
  type IpAddress,
  type IpBlock,
  isInBlock,
  parseIpAddress,
  parseIpBlock,
} from "../../src/net/ip-address.ts";
import { isPublicAddress, specialBlocks } from "../../src/net/public-address.ts";

/** IANA's registries of special-purpose addresses, and the rest that RFC 4291 does not call global unicast. */
const special = [
  "0.0.0.0/8 0.0.0.0/32 10.0.0.0/8 100.64.0.0/10 127.0.0.0/8 169.254.0.0/16 172.16.0.0/12",
  "192.0.0.0/24 192.0.0.0/29 192.0.0.8/32 192.0.0.9/32 192.0.0.10/32 192.0.0.170/31 192.0.2.0/24",
  "192.31.196.0/24 192.52.193.0/24 192.88.99.0/24 192.168.0.0/16 192.175.48.0/24 198.18.0.0/15",
  "198.51.100.0/24 203.0.113.0/24 224.0.0.0/4 240.0.0.0/4 255.255.255.255/32 168.63.129.16/32",
  "::/128 ::1/128 ::/96 ::ffff:0:0/96 ::ffff:0:0:0/96 64:ff9b:1::/48 100::/64 100:0:0:1::/64",
  "2001::/23 2001::/32 2001:1::1/128 2001:1::2/128 2001:1::3/128 2001:2::/48 2001:3::/32",
  "2001:4:112::/48 2001:10::/28 2001:20::/28 2001:30::/28 2001:db8::/32 2002::/16",
  "2620:4f:8000::/48 3fff::/20 5f00::/16 fc00::/7 fe80::/10 fec0::/10 ff00::/8",
  "::/3 4000::/2 8000::/1",
].flatMap((line) => line.split(" "));

/** Where clouds keep what a stranger must not read. */
const metadata = {
  "AWS, Azure, DigitalOcean, Google, Hetzner, OpenStack": ["169.254.169.254"],
  "AWS over IPv6": ["fd00:ec2::254"],
  "AWS: tasks and pods": ["169.254.170.2", "169.254.170.23", "fd00:ec2::23"],
  "AWS: names and time": ["169.254.169.253", "169.254.169.123", "fd00:ec2::253", "fd00:ec2::123"],
  "Azure's host agent": ["168.63.129.16"],
  "Google over IPv6": ["fd20:ce::254"],
  Alibaba: ["100.100.100.200"],
  Oracle: ["192.0.0.192", "fd00:c1::a9fe:a9fe"],
  "OpenStack over IPv6": ["fe80::a9fe:a9fe"],
  Linode: ["fd00:a9fe:a9fe::1"],
  Scaleway: ["169.254.42.42", "fd00:42::42"],
  Tencent: ["169.254.0.23"],
  "Kubernetes' names on every node": ["169.254.20.10"],
};

/** The first address on either side of a block that is public. */
const neighbours = [
  "1.0.0.0 9.255.255.255 11.0.0.0 100.63.255.255 100.128.0.0 126.255.255.255 128.0.0.0",
  "168.63.129.15 168.63.129.17 169.253.255.255 169.255.0.0 172.15.255.255 172.32.0.0",
  "192.31.195.255 192.31.197.0 192.52.192.255 192.52.194.0 192.175.47.255 192.175.49.0",
  "191.255.255.255 192.0.1.0 192.0.1.255 192.0.3.0 192.88.98.255 192.88.100.0 192.167.255.255",
  "192.169.0.0 198.17.255.255 198.20.0.0 198.51.99.255 198.51.101.0 203.0.112.255 203.0.114.0",
  "223.255.255.255 8.8.8.8 1.1.1.1",
  "2000:: 2000:ffff:ffff:ffff:ffff:ffff:ffff:ffff 2001:200:: 2001:db7:ffff:ffff:ffff:ffff:ffff:ffff",
  "2001:db9:: 2001:ffff:ffff:ffff:ffff:ffff:ffff:ffff 2003:: 3fff:1000:: 3ffe::",
  "2620:4f:7fff:ffff:ffff:ffff:ffff:ffff 2620:4f:8001:: 2600::5efd:a00:1 2600::5eff:a00:1",
  "2001:4860:4860::8888 2606:4700:4700::1111 64:ff9b::8.8.8.8 64:ff9b::9.255.255.255 64:ff9b::b00:0",
].flatMap((line) => line.split(" "));

function block(text: string): IpBlock {
  const parsed = parseIpBlock(text);
  if (parsed === undefined) throw new RangeError(`not a block: ${text}`);
  return parsed;
}

function isPublicText(text: string): boolean {
  const address = parseIpAddress(text);
  if (address === undefined) throw new RangeError(`not an address: ${text}`);
  return isPublicAddress(address);
}

/** What the test's own lists say of an address. */
function isListed({ bits, value }: IpAddress): boolean {
  const isNat64 = bits === 128 && value >> 32n === block("64:ff9b::/96").first >> 32n;
  const reached = isNat64 ? ({ bits: 32, value: value & 0xffff_ffffn } as const) : { bits, value };
  return special.some((text) => isInBlock(reached, block(text)));
}

/** An IPv4 address in every IPv6 spelling that leads to it, or may. */
function disguisesOf(ipv4: bigint): Readonly<Record<string, bigint>> {
  const prefixed = (prefix: string, shift = 0n) => block(`${prefix}/128`).first | (ipv4 << shift);
  return {
    "mapped (RFC 4291)": prefixed("::ffff:0:0"),
    "compatible (RFC 4291)": prefixed("::"),
    "translated (RFC 2765)": prefixed("::ffff:0:0:0"),
    "6to4 (RFC 3056)": prefixed("2002::1", 80n),
    "Teredo, as its server (RFC 4380)": prefixed("2001::", 64n),
    "Teredo, as its client (RFC 4380)": block("2001:0:808:808::/128").first | (ipv4 ^ 0xffff_ffffn),
    "NAT64, local-use (RFC 8215)": prefixed("64:ff9b:1::"),
    "ISATAP (RFC 5214)": prefixed("2600:1::5efe:0:0"),
    "ISATAP, called global (RFC 5214)": prefixed("2600:1::200:5efe:0:0"),
  };
}

describe("an address", () => {
  test.each([...new Set([...special, ...Object.keys(specialBlocks)])])(
    "in %s is not public: first, last and any other",
    (text) => {
      const { bits, first, prefixLength } = block(text);
      const last = (1n << BigInt(bits - prefixLength)) - 1n;
      fc.assert(
        fc.property(fc.bigInt({ min: 0n, max: last }), (offset) => {
          return !isPublicAddress({ bits, value: first + offset });
        }),
        { examples: [[0n], [last]] },
      );
    },
  );

  test.each(special)("on either side of %s is public, unless it lies in another block", (text) => {
    const { bits, first, prefixLength } = block(text);
    const end = first + (1n << BigInt(bits - prefixLength));
    for (const value of [first - 1n, end]) {
      if (value < 0n || value >> BigInt(bits) !== 0n) continue;
      expect(isPublicAddress({ bits, value })).toBe(!isListed({ bits, value }));
    }
  });

  test.each(neighbours)("just outside the special blocks is public: %s", (text) => {
    expect(isPublicText(text)).toBe(true);
  });

  test.each(Object.entries(metadata))("of metadata is not public: %s", (_, addresses) => {
    for (const text of addresses) expect(isPublicText(text)).toBe(false);
  });

  test("is public exactly if no list has it", () => {
    const anywhere = fc.oneof(
      fc.nat(0xffff_ffff).map((value) => ({ bits: 32, value: BigInt(value) }) as const),
      fc.bigInt({ min: 1n << 125n, max: (1n << 126n) - 1n }).map((value) => {
        return { bits: 128, value } as const;
      }),
    );
    fc.assert(
      fc.property(anywhere, (address) => isPublicAddress(address) === !isListed(address)),
      { numRuns: 2000 },
    );
  });

  test("behind NAT64 is as public as the IPv4 address that it stands for", () => {
    const prefix = block("64:ff9b::/96").first;
    const ends = special.map(block).filter(({ bits }) => bits === 32);
    const ipv4 = fc.oneof(
      fc.nat(0xffff_ffff).map(BigInt),
      fc.constantFrom(...ends.map(({ first }) => first)),
    );
    fc.assert(
      fc.property(ipv4, (value) => {
        const seen = isPublicAddress({ bits: 128, value: prefix | value });
        return seen === isPublicAddress({ bits: 32, value });
      }),
    );
  });

  test.each(special.filter((text) => !text.includes(":")))(
    "of %s is not public in any IPv6 disguise: first, last and any other",
    (text) => {
      const { first, prefixLength } = block(text);
      const last = (1n << BigInt(32 - prefixLength)) - 1n;
      fc.assert(
        fc.property(fc.bigInt({ min: 0n, max: last }), (offset) => {
          const nat64 = block("64:ff9b::/96").first | (first + offset);
          for (const value of [...Object.values(disguisesOf(first + offset)), nat64]) {
            expect(isPublicAddress({ bits: 128, value })).toBe(false);
          }
        }),
        { examples: [[0n], [last]], numRuns: 20 },
      );
    },
  );

  test("in any other IPv6 disguise of IPv4 is not public, even if that IPv4 address is", () => {
    fc.assert(
      fc.property(fc.nat(0xffff_ffff), (ipv4) => {
        for (const [name, value] of Object.entries(disguisesOf(BigInt(ipv4)))) {
          expect({ name, isPublic: isPublicAddress({ bits: 128, value }) }).toEqual({
            name,
            isPublic: false,
          });
        }
      }),
    );
  });
});

describe("an address's text", () => {
  test("is read to its value, in dotted decimal", () => {
    const bytes = fc.tuple(fc.nat(255), fc.nat(255), fc.nat(255), fc.nat(255));
    fc.assert(
      fc.property(bytes, ([a, b, c, d]) => {
        const value = BigInt(((a * 256 + b) * 256 + c) * 256 + d);
        expect(parseIpAddress([a, b, c, d].join("."))).toEqual({ bits: 32, value });
      }),
    );
  });

  test("is read to the same value in each of IPv6's forms", () => {
    const groups = fc.array(fc.oneof(fc.constant(0), fc.nat(0xffff)), {
      minLength: 8,
      maxLength: 8,
    });
    fc.assert(
      fc.property(groups, (parts) => {
        const value = parts.reduce((sum, part) => (sum << 16n) | BigInt(part), 0n);
        const full = parts.map((part) => part.toString(16).padStart(4, "0")).join(":");
        // The URL parser writes RFC 5952's form, with "::" for the longest run of zeros.
        const shortest = new URL(`http://[${full}]/`).hostname.slice(1, -1);
        const tail = [24n, 16n, 8n, 0n].map((shift) => (value >> shift) & 255n).join(".");
        const dotted = [...full.split(":").slice(0, 6), tail].join(":");
        for (const text of [full, full.toUpperCase(), shortest, dotted]) {
          expect(parseIpAddress(text)).toEqual({ bits: 128, value });
        }
      }),
    );
  });

  test("is refused exactly where Node's own parser refuses it", () => {
    const nearly = fc.stringMatching(/^[0-9a-fA-F:.]{0,24}$/);
    const mutated = fc
      .tuple(
        fc.oneof(fc.ipV4(), fc.ipV6()),
        fc.nat(45),
        fc.constantFrom("", ":", "::", ".", "0", "g"),
      )
      .map(([text, at, extra]) => text.slice(0, at) + extra + text.slice(at + 1));
    fc.assert(
      fc.property(fc.oneof(nearly, mutated), (text) => {
        expect(parseIpAddress(text) !== undefined).toBe(isIPv4(text) || isIPv6(text));
      }),
      { numRuns: 2000 },
    );
  });

  test.each([
    "",
    "1.2.3",
    "1.2.3.4.5",
    "01.2.3.4",
    "1.2.3.256",
    "0x7f.0.0.1",
    " 1.2.3.4",
    "1.2.3.4\n",
  ])("is refused as IPv4: %p", (text) => {
    expect(parseIpAddress(text)).toBeUndefined();
  });

  test.each([
    ":",
    ":::",
    "1::2::3",
    "1:2:3:4:5:6:7",
    "1:2:3:4:5:6:7:8:9",
    "1:2:3:4:5:6:7::8",
    ":1:2:3:4:5:6:7:8",
    "12345::",
    "::1.2.3.4:5",
    "1.2.3.4::",
    "::1%eth0",
    "[::1]",
  ])("is refused as IPv6: %p", (text) => {
    expect(parseIpAddress(text)).toBeUndefined();
  });
});
