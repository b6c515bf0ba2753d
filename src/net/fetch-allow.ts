import {
  type IpAddress,
  type IpBlock,
  isInBlock,
  parseIpAddress,
  parseIpBlock,
} from "./ip-address.ts";
import { isPublicAddress } from "./public-address.ts";
import { splitPort } from "./split-port.ts";

/** One end of a connection that is about to be made. */
export interface FetchTarget {
  /** As in `URL.hostname`: a lower-case name, a dotted quad, or IPv6 in brackets. */
  readonly hostname: string;
  readonly port: number;
  /** The address that will be connected to. */
  readonly address: IpAddress;
}

/** Whether an image may be fetched from there. */
export type FetchRule = (target: FetchTarget) => boolean;

/** Ports of http: and https: URLs (RFC 9110 §4.2). */
const defaultPorts: readonly number[] = [80, 443];

/** Lets through the public Internet on its default ports, and nothing else. */
const isPublicTarget: FetchRule = ({ address, port }) =>
  defaultPorts.includes(port) && isPublicAddress(address);

/**
 * Reads FETCH_ALLOW: what may be reached although its address is not public or its port is odd.
 *
 * @param entries each `host`, `host:port`, CIDR or `CIDR:port`; IPv6 with a port in brackets
 *   (`[::1]:8080`, `[fd00::/8]:8080`). Without a port, every port. A name opens whatever it resolves
 *   to; an address stands for itself, whether a URL spells it or a name resolves to it.
 * @returns the rule for every connection: public on a default port, or allowed by an entry.
 * @throws RangeError that names every entry that does not parse.
 */
export function parseFetchAllow(entries: readonly string[]): FetchRule {
  const [fault] = findFetchAllowFaults(entries);
  if (fault !== undefined) throw new RangeError(fault);
  const rules = [isPublicTarget, ...entries.flatMap((entry) => parseEntry(entry) ?? [])];
  return (target) => rules.some((rule) => rule(target));
}

/** @returns one sentence that names every entry of FETCH_ALLOW that does not parse; nothing without any. */
export function findFetchAllowFaults(entries: readonly string[]): readonly string[] {
  const faulty = entries.filter((entry) => parseEntry(entry) === undefined);
  if (faulty.length === 0) return [];
  const allowed = "host, host:port, CIDR or CIDR:port (IPv6 with a port in brackets)";
  const named = faulty.map((entry) => `"${entry}"`).join(", ");
  return [`FETCH_ALLOW contains ${named}: each must be ${allowed}`];
}

function parseEntry(entry: string): FetchRule | undefined {
  const { place, port } = splitPort(entry);
  if (Number.isNaN(port)) return undefined;
  const isPlace = parsePlace(place);
  return isPlace && ((target) => isPlace(target) && (port === undefined || port === target.port));
}

function parsePlace(place: string): FetchRule | undefined {
  const block = place.includes("/") ? parseIpBlock(place) : blockOfOne(place);
  if (block !== undefined) return ({ address }) => isInBlock(address, block);
  const hostname = parseHostname(place);
  return hostname === undefined ? undefined : (target) => target.hostname === hostname;
}

function blockOfOne(place: string): IpBlock | undefined {
  const address = parseIpAddress(place);
  return address && { bits: address.bits, first: address.value, prefixLength: address.bits };
}

/** The name in the same normal form as a URL's. */
function parseHostname(place: string): string | undefined {
  if (!/^[0-9a-z_-]+(\.[0-9a-z_-]+)*\.?$/i.test(place)) return undefined;
  const hostname = URL.parse(`http://${place.replace(/\.$/, "")}/`)?.hostname;
  // A name that the URL parser takes for a number, such as 0x7f.1, is an address in disguise.
  return hostname === undefined || parseIpAddress(hostname) !== undefined ? undefined : hostname;
}
