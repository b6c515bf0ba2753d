/** An IP address as a number. An IPv4 address and its IPv6 spellings are different addresses here. */
export interface IpAddress {
  readonly bits: 32 | 128;
  /** Unsigned, in network order. */
  readonly value: bigint;
}

/** All addresses that share their first `prefixLength` bits. */
export interface IpBlock {
  readonly bits: 32 | 128;
  readonly first: bigint;
  readonly prefixLength: number;
}

/**
 * Reads an address. Strict: four decimal parts without leading zeros (RFC 6943 §3.1.1), or one of the
 * three forms of RFC 4291 §2.2; no brackets, no zone.
 *
 * @returns undefined when the text is anything else, such as a host name.
 */
export function parseIpAddress(text: string): IpAddress | undefined {
  const value = text.includes(":") ? parseIpv6(text) : parseIpv4(text);
  return value === undefined ? undefined : { bits: text.includes(":") ? 128 : 32, value };
}

/**
 * Reads `address/prefixLength` (RFC 4632 §3.1, RFC 4291 §2.3). Bits behind the prefix do not matter.
 *
 * @returns undefined when the text is anything else.
 */
export function parseIpBlock(text: string): IpBlock | undefined {
  const [, addressText, lengthText] = /^([^/]+)\/(0|[1-9]\d{0,2})$/.exec(text) ?? [];
  if (addressText === undefined) return undefined;
  const address = parseIpAddress(addressText);
  const prefixLength = Number(lengthText);
  if (address === undefined || prefixLength > address.bits) return undefined;
  const hostBits = BigInt(address.bits - prefixLength);
  return { bits: address.bits, first: (address.value >> hostBits) << hostBits, prefixLength };
}

/** Whether the address lies in the block; never across families. */
export function isInBlock(address: IpAddress, block: IpBlock): boolean {
  const hostBits = BigInt(block.bits - block.prefixLength);
  return address.bits === block.bits && address.value >> hostBits === block.first >> hostBits;
}

function parseIpv4(text: string): bigint | undefined {
  const parts = text.split(".");
  if (parts.length !== 4) return undefined;
  let value = 0n;
  for (const part of parts) {
    if (!/^(0|[1-9]\d{0,2})$/.test(part) || Number(part) > 255) return undefined;
    value = (value << 8n) | BigInt(part);
  }
  return value;
}

function parseIpv6(text: string): bigint | undefined {
  const halves = text.split("::");
  if (halves.length > 2) return undefined;
  const head = parseGroups(halves[0] ?? "", halves.length === 1);
  const tail = parseGroups(halves[1] ?? "", true);
  if (head === undefined || tail === undefined) return undefined;
  const missing = 8 - head.length - tail.length;
  // "::" stands for at least one group (RFC 4291 §2.2); without it all eight must be there.
  if (halves.length === 2 ? missing < 1 : missing !== 0) return undefined;
  const groups = [...head, ...Array<bigint>(missing).fill(0n), ...tail];
  return groups.reduce((value, group) => (value << 16n) | group, 0n);
}

/** 16-bit groups of one side of `::`; a dotted quad may be the last two of the whole address. */
function parseGroups(text: string, isEnd: boolean): bigint[] | undefined {
  if (text === "") return [];
  const groups: bigint[] = [];
  const parts = text.split(":");
  for (const [index, part] of parts.entries()) {
    if (/^[0-9a-f]{1,4}$/i.test(part)) {
      groups.push(BigInt(`0x${part}`));
      continue;
    }
    const quad = isEnd && index === parts.length - 1 ? parseIpv4(part) : undefined;
    if (quad === undefined) return undefined;
    groups.push(quad >> 16n, quad & 0xffffn);
  }
  return groups;
}
