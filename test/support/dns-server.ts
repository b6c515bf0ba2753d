/** A name server of a test's own, over UDP and TCP (RFC 1035), that misbehaves as it is told. */
import { parseIpAddress } from "../../src/net/ip-address.ts";

/** What is said of a name. */
export interface DnsReply {
  readonly a?: readonly string[];
  readonly aaaa?: readonly string[];
  /** The name that this one is another for; its own replies follow it. */
  readonly cname?: string;
  readonly failure?: keyof typeof responseCodes;
  /** Says nothing. */
  readonly isSilent?: boolean;
  /** Sends nobody an answer over UDP, but to come back over TCP. */
  readonly isTruncated?: boolean;
}

/**
 * By name, what is said to its first query of a type, its second and so on; the last is said for ever.
 * `*.host` stands for every name of one label more.
 */
export type DnsZone = Readonly<Record<string, readonly [DnsReply, ...DnsReply[]]>>;

const responseCodes = { servfail: 2, nxdomain: 3, refused: 5 } as const;
const types = { a: 1, cname: 5, aaaa: 28, opt: 41 } as const;

interface Question {
  readonly id: number;
  readonly name: string;
  readonly type: number;
  /** As it was asked. */
  readonly bytes: Uint8Array;
  /** What the asker takes over UDP (RFC 6891 §6.2.3). */
  readonly maxBytes: number;
}

export interface DnsServer extends AsyncDisposable {
  /** Whether somebody has asked for the name, answered or not. */
  asked(name: string): boolean;
}

/** Starts to answer on port 53. Names that the zone does not have do not exist. */
export async function startDnsServer(hostname: string, zone: DnsZone): Promise<DnsServer> {
  const asked = new Map<string, number>();
  const names = new Set<string>();

  function answer(query: Buffer, isUdp: boolean): Buffer | undefined {
    const question = parseQuestion(query);
    names.add(question.name);
    const key = `${question.name} ${question.type}`;
    const count = asked.get(key) ?? 0;
    const wildcard = question.name.replace(/^[^.]*/, "*");
    const replies = zone[question.name] ?? zone[wildcard] ?? [{ failure: "nxdomain" }];
    const reply = replies[Math.min(count, replies.length - 1)] ?? replies[0];
    if (reply.isSilent) return undefined;
    const records = recordsOf(question.name, reply, question.type, zone);
    const whole = encodeAnswer(question, records, reply.failure);
    if (isUdp && (reply.isTruncated || whole.length > question.maxBytes)) {
      return encodeAnswer(question, [], undefined, true);
    }
    asked.set(key, count + 1);
    return whole;
  }

  const udp = await Bun.udpSocket({
    hostname,
    port: 53,
    socket: {
      data(socket, query, port, address) {
        const bytes = answer(query, true);
        if (bytes !== undefined) socket.send(bytes, port, address);
      },
    },
  });
  const tcp = Bun.listen({
    hostname,
    port: 53,
    socket: {
      data(socket, chunk) {
        const bytes = answer(Buffer.from(chunk.subarray(2)), false);
        if (bytes !== undefined) socket.end(Buffer.concat([uint16(bytes.length), bytes]));
      },
    },
  });
  return {
    asked: (name) => names.has(name),
    async [Symbol.asyncDispose]() {
      udp.close();
      tcp.stop(true);
    },
  };
}

function parseQuestion(query: Buffer): Question {
  const labels: string[] = [];
  let offset = 12;
  for (let length = query.readUInt8(offset); length > 0; length = query.readUInt8(offset)) {
    labels.push(query.toString("latin1", offset + 1, offset + 1 + length));
    offset += 1 + length;
  }
  const end = offset + 5;
  const hasOptions = query.length >= end + 5 && query.readUInt16BE(end + 1) === types.opt;
  return {
    id: query.readUInt16BE(0),
    name: labels.join(".").toLowerCase(),
    type: query.readUInt16BE(offset + 1),
    bytes: query.subarray(12, end),
    maxBytes: hasOptions ? query.readUInt16BE(end + 3) : 512,
  };
}

function recordsOf(name: string, reply: DnsReply, type: number, zone: DnsZone): Buffer[] {
  if (reply.cname !== undefined) {
    const [next = {}] = zone[reply.cname] ?? [];
    const alias = encodeRecord(name, types.cname, encodeName(reply.cname));
    return [alias, ...recordsOf(reply.cname, next, type, zone)];
  }
  const addresses = { [types.a]: reply.a, [types.aaaa]: reply.aaaa }[type] ?? [];
  return addresses.map((text) => encodeRecord(name, type, encodeAddress(text)));
}

function encodeAnswer(
  { id, bytes }: Question,
  records: readonly Buffer[],
  failure?: keyof typeof responseCodes,
  isTruncated = false,
): Buffer {
  const flags = 0x8180 | (isTruncated ? 0x200 : 0) | (failure ? responseCodes[failure] : 0);
  const header = [id, flags, 1, records.length, 0, 0].map(uint16);
  return Buffer.concat([...header, bytes, ...records]);
}

/** A record that may not be remembered: its time to live is 0. */
function encodeRecord(name: string, type: number, data: Buffer): Buffer {
  const head = [type, 1, 0, 0, data.length].map(uint16);
  return Buffer.concat([encodeName(name), ...head, data]);
}

function encodeName(name: string): Buffer {
  const labels = name.split(".").map((label) => `${String.fromCharCode(label.length)}${label}`);
  return Buffer.from(`${labels.join("")}\0`, "latin1");
}

function encodeAddress(text: string): Buffer {
  const address = parseIpAddress(text);
  if (address === undefined) throw new RangeError(`not an address: ${text}`);
  return Buffer.from(address.value.toString(16).padStart(address.bits / 4, "0"), "hex");
}

function uint16(value: number): Buffer {
  return Buffer.from([value >> 8, value & 0xff]);
}
