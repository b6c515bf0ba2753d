import { type IpAddress, type IpBlock, isInBlock, parseIpBlock } from "./ip-address.ts";

/**
 * Blocks that no image URL may lead to, from IANA's special-purpose address registries (RFC 6890, as of
 * October 2025) and the RFCs named. Cloud metadata services lie inside some of them, or stand by name.
 * Anycast services (AS112, AMT) count although they are globally reachable: whoever is nearest answers,
 * which may be a machine of the operator's own.
 */
export const specialBlocks = {
  "0.0.0.0/8": "this network, unspecified (RFC 791, RFC 1122)",
  "10.0.0.0/8": "private (RFC 1918)",
  "100.64.0.0/10": "shared by carriers (RFC 6598); Alibaba's metadata 100.100.100.200",
  "127.0.0.0/8": "loopback (RFC 1122)",
  "168.63.129.16/32": "Azure's host agent, reached from every virtual machine",
  "169.254.0.0/16": "link-local (RFC 3927); most clouds' metadata 169.254.169.254",
  "172.16.0.0/12": "private (RFC 1918)",
  "192.0.0.0/24": "IETF protocol assignments (RFC 6890); Oracle's metadata 192.0.0.192",
  "192.0.2.0/24": "documentation (RFC 5737)",
  "192.31.196.0/24": "AS112 (RFC 7535)",
  "192.52.193.0/24": "multicast tunnels' relays, AMT (RFC 7450)",
  "192.88.99.0/24": "6to4 relays (RFC 3068, RFC 7526)",
  "192.168.0.0/16": "private (RFC 1918)",
  "192.175.48.0/24": "AS112 (RFC 7534)",
  "198.18.0.0/15": "benchmarking (RFC 2544)",
  "198.51.100.0/24": "documentation (RFC 5737)",
  "203.0.113.0/24": "documentation (RFC 5737)",
  "224.0.0.0/4": "multicast (RFC 5771)",
  "240.0.0.0/4": "reserved (RFC 1112), limited broadcast (RFC 919)",

  // Only 2000::/3 is global unicast (RFC 4291 §2.4): these three blocks are everything else.
  "::/3":
    "unspecified, loopback, IPv4-mapped and -compatible (RFC 4291), IPv4-translated ::ffff:0:0:0/96 (RFC 2765), local-use NAT64 64:ff9b:1::/48 (RFC 8215), discard-only 100::/64 (RFC 6666), dummy 100:0:0:1::/64 (RFC 9780)",
  "4000::/2": "unassigned (RFC 4291), segment routing 5f00::/16 (RFC 9602)",
  "8000::/1":
    "unique local fc00::/7 (RFC 4193) with the metadata of AWS fd00:ec2::254, GCP fd20:ce::254 and Oracle fd00:c1::a9fe:a9fe, link-local fe80::/10 (RFC 4291), site-local fec0::/10 (RFC 3879), multicast ff00::/8 (RFC 4291)",
  "2001::/23":
    "IETF protocol assignments (RFC 2928): Teredo 2001::/32 (RFC 4380), benchmarking 2001:2::/48 (RFC 5180), AMT 2001:3::/32 (RFC 7450), AS112 2001:4:112::/48 (RFC 7535), ORCHID 2001:10::/28 and 2001:20::/28 (RFC 4843, RFC 7343), drones 2001:30::/28 (RFC 9374)",
  "2001:db8::/32": "documentation (RFC 3849)",
  "2002::/16": "6to4, an IPv4 address in disguise (RFC 3056)",
  "2620:4f:8000::/48": "AS112 (RFC 7534)",
  "3fff::/20": "documentation (RFC 9637)",
} as const satisfies Record<string, string>;

/** NAT64's well-known prefix: the last 32 bits are the IPv4 address that is reached (RFC 6052 §2.1). */
const nat64 = block("64:ff9b::/96");
const refused = Object.keys(specialBlocks).map(block);

/**
 * Whether an address belongs to the public Internet, so that a stranger may make us connect to it.
 * A NAT64 prefix of the operator's own (RFC 6052 §2.2) cannot be told from other public addresses.
 */
export function isPublicAddress(address: IpAddress): boolean {
  const reached = isInBlock(address, nat64)
    ? ({ bits: 32, value: address.value & 0xffff_ffffn } as const)
    : address;
  return !isIsatap(reached) && !refused.some((one) => isInBlock(reached, one));
}

/**
 * Whether a router may hand the packet to the IPv4 address in its last 32 bits: the interface identifier
 * of ISATAP, under any prefix and with either of its two flags (RFC 5214 §6.1).
 */
function isIsatap({ bits, value }: IpAddress): boolean {
  return bits === 128 && ((value >> 32n) & 0xfcff_ffffn) === 0x5efen;
}

function block(text: string): IpBlock {
  const parsed = parseIpBlock(text);
  if (parsed === undefined) throw new RangeError(`not an address block: ${text}`);
  return parsed;
}
