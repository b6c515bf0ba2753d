import { describe, expect, test } from "bun:test";
import { isIPv4, isIPv6 } from "node:net";
import fc from "fast-check";
import { type IpBlock, parseIpAddress, parseIpBlock } from "../../src/net/ip-address.ts";
import { isPublicAddress, specialBlocks } from "../../src/net/public-address.ts";

/** IANA's registries of special-purpose addresses and what clouds serve metadata on, block by block. */
const special = [
  "0.0.0.0/8 10.0.0.0/8 100.64.0.0/10 127.0.0.0/8 169.254.0.0/16 172.16.0.0/12 192.0.0.0/24",
  "192.0.2.0/24 192.88.99.0/24 192.168.0.0/16 198.18.0.0/15 198.51.100.0/24 203.0.113.0/24",
  "224.0.0.0/4 240.0.0.0/4 255.255.255.255/32",
  "168.63.129.16/32 169.254.169.254/32 100.100.100.200/32 192.0.0.192/32 fd00:ec2::254/128",
  "::/128 ::1/128 ::/96 ::ffff:0:0/96 64:ff9b:1::/48 100::/64 100:0:0:1::/64 2001::/23 2001::/32",
  "2001:2::/48 2001:10::/28 2001:20::/28 2001:db8::/32 2002::/16 3fff::/20 5f00::/16 fc00::/7",
  "fe80::/10 fec0::/10 ff00::/8 64:ff9b::10.0.0.0/104 64:ff9b::127.0.0.0/104 64:ff9b::a9fe:a9fe/128",
].flatMap((line) => line.split(" "));

/** The first address on either side of a block that is public. */
const neighbours = [
  "1.0.0.0 9.255.255.255 11.0.0.0 100.63.255.255 100.128.0.0 126.255.255.255 128.0.0.0",
  "168.63.129.15 168.63.129.17 169.253.255.255 169.255.0.0 172.15.255.255 172.32.0.0",
  "191.255.255.255 192.0.1.0 192.0.1.255 192.0.3.0 192.88.98.255 192.88.100.0 192.167.255.255",
  "192.169.0.0 198.17.255.255 198.20.0.0 198.51.99.255 198.51.101.0 203.0.112.255 203.0.114.0",
  "223.255.255.255 8.8.8.8 1.1.1.1",
  "2000:: 2000:ffff:ffff:ffff:ffff:ffff:ffff:ffff 2001:200:: 2001:db7:ffff:ffff:ffff:ffff:ffff:ffff",
  "2001:db9:: 2001:ffff:ffff:ffff:ffff:ffff:ffff:ffff 2003:: 3fff:1000:: 3ffe::",
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

describe("an address", () => {
  test.each([...special, ...Object.keys(specialBlocks)])(
    "in %s is not public: first, last and any other",
    (text) => {
      const { bits, first, prefixLength } = block(text);
      const last = (1n << BigInt(bits - prefixLength)) - 1n;
      const inside = fc.bigInt({ min: 0n, max: last });
      fc.assert(
        fc.property(inside, (offset) => !isPublicAddress({ bits, value: first + offset })),
        { examples: [[0n], [last]] },
      );
    },
  );

  test.each(neighbours)("just outside the special blocks is public: %s", (text) => {
    expect(isPublicText(text)).toBe(true);
  });

  test("behind NAT64 is as public as the IPv4 address that it stands for", () => {
    fc.assert(
      fc.property(fc.ipV4(), (text) => isPublicText(`64:ff9b::${text}`) === isPublicText(text)),
    );
  });

  test("in any other IPv6 disguise of IPv4 is not public, even if that IPv4 address is", () => {
    fc.assert(
      fc.property(fc.ipV4(), (text) => {
        const value = parseIpAddress(text)?.value ?? 0n;
        const [high, low] = [(value >> 16n).toString(16), (value & 0xffffn).toString(16)];
        for (const disguise of [
          `::${text}`,
          `::ffff:${text}`,
          `::ffff:0:${text}`,
          `64:ff9b:1::${text}`,
          `2002:${high}:${low}::1`,
          `2001:0:${high}:${low}::`,
          `2001::${text}`,
        ]) {
          expect(isPublicText(disguise)).toBe(false);
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
