import { type IpBlock, isInBlock, parseIpAddress } from "./ip-address.ts";

const loopback: readonly IpBlock[] = [
  { bits: 32, first: 127n << 24n, prefixLength: 8 },
  { bits: 128, first: 1n, prefixLength: 128 },
  // 127.0.0.0/8 as IPv6 spells it (RFC 4291 §2.5.5.2).
  { bits: 128, first: (0xffffn << 32n) | (127n << 24n), prefixLength: 104 },
];

/**
 * Whether a host is this machine for everyone: `localhost` and the names below it (RFC 6761 §6.3), 127.0.0.0/8 or `::1`. Other names
 * are not, whatever they resolve to: that may change.
 *
 * @param host as HOST gives it, without port and brackets.
 */
export function isLoopbackHost(host: string): boolean {
  const address = parseIpAddress(host);
  if (address !== undefined) return loopback.some((block) => isInBlock(address, block));
  return /(^|\.)localhost\.?$/i.test(host);
}
