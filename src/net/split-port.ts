/** An entry of FETCH_ALLOW or NO_PROXY, taken apart. */
export interface PlaceAndPort {
  /** A name, an address or a block; IPv6 without its brackets. Not checked. */
  readonly place: string;
  /** 1 to 65535; undefined without a port, NaN where what follows the colon is no port. */
  readonly port: number | undefined;
}

/**
 * Parts `place:port`. IPv6 with a port stands in brackets (RFC 3986 §3.2.2): two colons without them are
 * an address, which then has no port.
 */
export function splitPort(entry: string): PlaceAndPort {
  const [, place = entry, digits] = /^(\[[^\]]+\]|[^:]*):([^:]*)$/.exec(entry) ?? [];
  return {
    place: place.replace(/^\[(.*:.*)\]$/, "$1"),
    port: digits === undefined ? undefined : parsePort(digits),
  };
}

function parsePort(digits: string): number {
  return /^[1-9]\d{0,4}$/.test(digits) && Number(digits) < 65_536 ? Number(digits) : Number.NaN;
}
