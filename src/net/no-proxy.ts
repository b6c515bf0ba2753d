import { isInBlock, parseIpAddress, parseIpBlock } from "./ip-address.ts";
import { splitPort } from "./split-port.ts";

/**
 * Whether `NO_PROXY` keeps this URL away from the proxy.
 *
 * There is no standard; this is what curl and Go agree on: entries are separated by commas or blanks,
 * `*` means every host, a name means itself and every name below it (with or without a leading `.` or
 * `*.`), an address means itself, a CIDR block every address in it, and `:port` narrows any of them.
 * Names are compared without regard to case; entries that mean nothing match nothing.
 *
 * @param url an absolute http or https URL.
 * @param noProxy the text of the setting; empty for none.
 * @see https://everything.curl.dev/usingcurl/proxies/env.html
 */
export function bypassesProxy(url: URL, noProxy: string): boolean {
  const host = url.hostname.replace(/^\[|\]$/g, "").replace(/\.$/, "");
  const port = Number(url.port || (url.protocol === "https:" ? 443 : 80));
  return noProxy
    .toLowerCase()
    .split(/[\s,]+/)
    .some((entry) => matches(entry, host, port));
}

function matches(entry: string, host: string, urlPort: number): boolean {
  if (entry === "*") return true;
  const { place, port } = splitPort(entry);
  if (port !== undefined && port !== urlPort) return false;
  const block = parseIpBlock(place);
  const address = parseIpAddress(host);
  if (block !== undefined) return address !== undefined && isInBlock(address, block);
  if (address !== undefined) return parseIpAddress(place)?.value === address.value;
  const name = place.replace(/^\*?\./, "").replace(/\.$/, "");
  return name !== "" && (host === name || host.endsWith(`.${name}`));
}
