/**
 * Who sent a request: whoever opened the connection, or, where that is a proxy of the operator's own, whom
 * the proxy names in `X-Forwarded-For`. `Forwarded` (RFC 7239) is not read: proxies do not set it unless
 * told, and a second header that says the same is a second way to lie.
 */
import {
  type IpAddress,
  type IpBlock,
  isInBlock,
  parseIpAddress,
  parseIpBlock,
} from "./ip-address.ts";
import { splitPort } from "./split-port.ts";

/** The proxies whose `X-Forwarded-For` is believed. */
export type TrustedProxies = readonly IpBlock[];

/**
 * Reads TRUSTED_PROXIES.
 *
 * @param entries each an address or a CIDR.
 * @throws RangeError that names every entry that does not parse.
 */
export function parseTrustedProxies(entries: readonly string[]): TrustedProxies {
  const [fault] = findTrustedProxiesFaults(entries);
  if (fault !== undefined) throw new RangeError(fault);
  return entries.flatMap((entry) => parseEntry(entry) ?? []);
}

/** @returns one sentence that names every entry of TRUSTED_PROXIES that does not parse; nothing without any. */
export function findTrustedProxiesFaults(entries: readonly string[]): readonly string[] {
  const faulty = entries.filter((entry) => parseEntry(entry) === undefined);
  if (faulty.length === 0) return [];
  const named = faulty.map((entry) => `"${entry}"`).join(", ");
  return [`TRUSTED_PROXIES contains ${named}: each must be an address or a CIDR`];
}

/**
 * Whether the other end of a connection is a trusted proxy.
 *
 * @param peer its address as the socket names it; undefined where the socket has none.
 */
export function isTrustedProxy(peer: string | undefined, trusted: TrustedProxies): boolean {
  const address = parsePeer(peer);
  return address !== undefined && isTrusted(address, trusted);
}

/**
 * Finds the client: from the peer on, and then from the right end of `X-Forwarded-For`, where each proxy
 * appends whom it heard from, the first address that is not a trusted proxy. What stands left of it is only
 * what that client says. An entry that is no address ends the walk at the one before: a proxy, but a true one.
 *
 * @param peer the other end of the connection, as the socket names it.
 * @param forwardedFor `X-Forwarded-For`, all lines of it joined by commas; null where there is none.
 * @returns undefined where the socket has no address.
 */
export function findClientAddress(
  peer: string | undefined,
  forwardedFor: string | null,
  trusted: TrustedProxies,
): IpAddress | undefined {
  let client = parsePeer(peer);
  if (client === undefined || !isTrusted(client, trusted)) return client;
  for (const entry of forwardedFor?.split(",").reverse() ?? []) {
    const address = parseForwarded(entry.trim());
    if (address === undefined) break;
    client = address;
    if (!isTrusted(client, trusted)) break;
  }
  return client;
}

/**
 * What counts as one client: an IPv4 address, or an IPv6 /64, within which whoever has one address usually
 * has them all (RFC 6177 §2).
 *
 * @returns such as `203.0.113.7` or `2001:db8:0:1::/64`.
 */
export function clientNetwork({ bits, value }: IpAddress): string {
  if (bits === 32) return [24n, 16n, 8n, 0n].map((shift) => (value >> shift) & 0xffn).join(".");
  const groups = [112n, 96n, 80n, 64n].map((shift) => (value >> shift) & 0xffffn);
  return `${groups.map((group) => group.toString(16)).join(":")}::/64`;
}

function isTrusted(address: IpAddress, trusted: TrustedProxies): boolean {
  return trusted.some((block) => isInBlock(address, block));
}

/** An address without its zone (RFC 4007 §11), which only this host knows. */
function parsePeer(peer: string | undefined): IpAddress | undefined {
  const address = parseIpAddress(peer?.replace(/%.*$/, "") ?? "");
  return address && unmapped(address);
}

/** One entry of `X-Forwarded-For`; some proxies add the port, and then brackets around IPv6. */
function parseForwarded(entry: string): IpAddress | undefined {
  const { place, port } = splitPort(entry);
  const address = Number.isNaN(port) ? undefined : parseIpAddress(place);
  return address && unmapped(address);
}

function parseEntry(entry: string): IpBlock | undefined {
  const block = parseIpBlock(
    entry.includes("/") ? entry : `${entry}/${entry.includes(":") ? 128 : 32}`,
  );
  if (block === undefined || block.prefixLength < 96) return block;
  const { bits, value } = unmapped({ bits: block.bits, value: block.first });
  return { bits, first: value, prefixLength: block.prefixLength - (block.bits - bits) };
}

/** A socket that listens on IPv6 sees an IPv4 client as ::ffff:a.b.c.d (RFC 4291 §2.5.5.2): the same client. */
function unmapped(address: IpAddress): IpAddress {
  const isMapped = address.bits === 128 && address.value >> 32n === 0xffffn;
  return isMapped ? { bits: 32, value: address.value & 0xffff_ffffn } : address;
}
