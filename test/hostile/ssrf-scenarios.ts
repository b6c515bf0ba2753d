/** What attackers try with names and redirects, and what must come of it. */
import type { ProblemCode } from "../../src/errors.ts";
import type { DnsZone } from "../support/dns-server.ts";

/** Hosts that anybody may reach: real ones have these addresses, but not here. */
export const publicAddresses = [
  "93.184.216.34",
  "93.184.216.35",
  "2606:2800:220:1::34",
  // NAT64 of 93.184.216.34.
  "64:ff9b::5db8:d822",
] as const;

/** Hosts that nobody may reach through the service. Each serves pictures, too. */
export const privateAddresses = [
  "127.0.0.1",
  "127.9.9.9",
  "10.0.0.5",
  "169.254.169.254",
  "100.100.100.200",
  "::1",
  "fd00::5",
  // NAT64 of 10.0.0.5.
  "64:ff9b::a00:5",
] as const;

/** A private host that `FETCH_ALLOW` opens, by the name that it has in `/etc/hosts`. */
export const allowedAddress = "10.0.0.6";

export const hostsFile = `127.0.0.1 localhost nvidia.test
${allowedAddress} nas.test
10.0.0.5 inner.test
`;

const [first, second, publicV6, publicNat64] = publicAddresses;
const [, , inner, , , , innerV6, innerNat64] = privateAddresses;

/** A hundred addresses; somebody is there at the last one only. */
const hundred = [...Array.from({ length: 99 }, (_, index) => `93.184.217.${index + 1}`), first];

/** Every name that the scenarios use. */
export const zone: DnsZone = {
  "public.test": [{ a: [first] }],
  "other.test": [{ a: [second] }],
  "public6.test": [{ aaaa: [publicV6] }],
  "both.test": [{ a: [first], aaaa: [publicV6] }],
  "rebind.test": [{ a: [first] }, { a: [inner] }],
  "rebind6.test": [{ aaaa: [publicV6] }, { aaaa: [innerV6] }],
  "rebind-later.test": [{ a: [first] }, { a: [inner] }],
  "private.test": [{ a: [inner] }],
  "private6.test": [{ aaaa: [innerV6] }],
  "mixed.test": [{ a: [first, inner] }],
  "mixed-reversed.test": [{ a: [inner, first] }],
  "mixed-families.test": [{ a: [first], aaaa: [innerV6] }],
  "mixed-other-way.test": [{ a: [inner], aaaa: [publicV6] }],
  "mapped.test": [{ a: [first], aaaa: ["::ffff:10.0.0.5"] }],
  "metadata.test": [{ a: ["169.254.169.254"] }],
  "alibaba.test": [{ a: ["100.100.100.200"] }],
  "zero.test": [{ a: ["0.0.0.0"] }],
  "127.0.0.1.nip.test": [{ a: ["127.0.0.1"] }],
  "alias.test": [{ cname: "alias2.test" }],
  "alias2.test": [{ cname: "public.test" }],
  "alias-private.test": [{ cname: "alias-private2.test" }],
  "alias-private2.test": [{ cname: "private.test" }],
  "nat64.test": [{ aaaa: [publicNat64] }],
  "nat64-private.test": [{ aaaa: [innerNat64] }],
  "hundred.test": [{ a: hundred }],
  "hundred-mixed.test": [{ a: [...hundred, inner] }],
  "truncated.test": [{ a: [first], isTruncated: true }],
  "truncated-private.test": [{ a: [inner], isTruncated: true }],
  "servfail.test": [{ failure: "servfail" }],
  "refused.test": [{ failure: "refused" }],
  "empty.test": [{}],
  "silent.test": [{ isSilent: true }],
  "*.silent.test": [{ isSilent: true }],
  "amid-silence.test": [{ a: [first] }],
};

/** Redirects that every public host gives, by path. */
export const redirects: Readonly<Record<string, string>> = {
  "/to-public": "http://other.test/picture.png",
  "/to-private": "http://private.test/picture.png",
  "/to-private-literal": "http://10.0.0.5/picture.png",
  "/to-loopback": "http://127.9.9.9/picture.png",
  "/to-metadata": "http://169.254.169.254/latest/meta-data/",
  "/to-private6": "//[fd00::5]/picture.png",
  "/to-public-to-private": "http://other.test/to-private",
  "/to-decimal": "http://167772165/picture.png",
  "/to-odd-port": "http://other.test:8080/picture.png",
  "/to-ssh": "http://93.184.216.35:22/",
  "/to-file": "file:///etc/passwd",
  "/to-gopher": "gopher://10.0.0.5:80/_GET%20/",
  "/to-user": "http://public.test:80@10.0.0.5/picture.png",
  "/to-backslash": "http:\\\\10.0.0.5\\picture.png",
  "/to-rebound": "http://rebind-later.test/picture.png",
};

interface Scenario {
  readonly url: string;
  /** The problem, or `ok` for a vector. */
  readonly outcome: ProblemCode | "ok";
}

const picture = (host: string) => `http://${host}/picture.png`;

function every(outcome: Scenario["outcome"], urls: readonly string[]): Scenario[] {
  return urls.map((url) => ({ url, outcome }));
}

/** In this order: names that change their answer are asked for as often as they stand here. */
export const scenarios: readonly Scenario[] = [
  ...every(
    "ok",
    ["public.test", "public6.test", "both.test", "alias.test", "nat64.test", first].map(picture),
  ),
  ...every("ok", ["hundred.test", "truncated.test", `[${publicV6}]`].map(picture)),
  ...every("ok", [picture("nas.test"), "http://public.test/to-public"]),
  // The first answer is public and is connected to; the second would not be.
  ...every("ok", [picture("rebind.test"), picture("rebind6.test")]),
  ...every("forbidden-address", [picture("rebind.test"), picture("rebind6.test")]),
  ...every("ok", ["http://rebind-later.test/picture.png"]),
  ...every("forbidden-address", ["http://public.test/to-rebound"]),
  ...every(
    "forbidden-address",
    [
      ...["private.test", "private6.test", "mixed.test", "mixed-reversed.test"],
      ...["mixed-families.test", "mixed-other-way.test", "mapped.test", "metadata.test"],
      ...["alibaba.test", "zero.test", "127.0.0.1.nip.test", "alias-private.test"],
      ...["nat64-private.test", "hundred-mixed.test", "truncated-private.test"],
      ...["localhost", "x.localhost", "inner.test", ...privateAddresses.map(bracketed)],
    ].map(picture),
  ),
  ...every("forbidden-address", [
    "http://public.test/to-private",
    "http://public.test/to-private-literal",
    "http://public.test/to-loopback",
    "http://public.test/to-metadata",
    "http://public.test/to-private6",
    "http://public.test/to-public-to-private",
    "http://public.test/to-decimal",
    "http://public.test/to-odd-port",
    "http://public.test/to-ssh",
    "http://public.test/to-backslash",
    "http://public.test:8080/picture.png",
  ]),
  ...every("origin-error", [
    "http://public.test/to-file",
    "http://public.test/to-gopher",
    "http://public.test/to-user",
    ...["unknown.test", "servfail.test", "refused.test", "empty.test"].map(picture),
  ]),
  // Other names than they look like, which lead nowhere.
  ...every(
    "origin-error",
    [
      ...["prıvate.test", "рrivate.test", "public.test#@10.0.0.5:22", "public.test\\@10.0.0.5"],
      ...["", "/", "a".repeat(64), `${"a.".repeat(200)}test`, "-.test", "*.test"],
    ].map(picture),
  ),
  ...every("origin-timeout", [picture("silent.test")]),
];

/** Odd ways to write an address, a name or a URL: refused as it stands, or for what it means. */
export const spellings: readonly string[] = [
  ...[
    "2130706433",
    "0x7f000001",
    "017700000001",
    "0x7f.1",
    "0177.0.0.1",
    "127.1",
    "127.0.1",
    "0",
    "0x0",
  ],
  ...[
    "00000000177.0.0.1",
    "0x7F.0X0.0.1",
    "2852039166",
    "0xa9fea9fe",
    "167772165",
    "10.5",
    "012.0.0.5",
  ],
  ...[
    "①②⑦.⓪.⓪.①",
    "１２７.０.０.１",
    "127。0。0。1",
    "１６９。２５４。１６９。２５４",
    "%31%32%37.0.0.1",
    "127%2e0.0.1",
  ],
  ...[
    "127.0.0.1.",
    "127.0.0.1..",
    ".127.0.0.1",
    "10.0.0.5.",
    "256.0.0.1",
    "127.0.0.1.1",
    "4294967296",
  ],
  ...[
    "localhost.",
    "LOCALHOST",
    "LocalHost",
    "ｌｏｃａｌｈｏｓｔ",
    "local\u00adhost",
    "ⓛocalhost",
    "x.localhost",
  ],
  ...["127.0.0.1.nip.test", "PRIVATE.test", "private.test."],
  ...[
    "[::1]",
    "[::]",
    "[0:0:0:0:0:0:0:1]",
    "[::ffff:127.0.0.1]",
    "[::ffff:7f00:1]",
    "[::127.0.0.1]",
  ],
  ...[
    "[::ffff:0:10.0.0.5]",
    "[64:ff9b::10.0.0.5]",
    "[2002:a00:5::]",
    "[fd00::5]",
    "[fe80::1%25lo]",
    "[fe80::1%lo]",
  ],
  ...["[::1%25eth0]", "[::1%250]", "[::1", "::1", "[127.0.0.1]", "[::1]]"],
  ...[
    "user@10.0.0.5",
    "user:secret@10.0.0.5",
    "public.test:80@127.0.0.1",
    "public.test@10.0.0.5",
    "@10.0.0.5",
    ":@10.0.0.5",
  ],
  ...["10.0.0.5#public.test:80", "10.0.0.5?@public.test"],
  ...[
    "public.test:0",
    "public.test:22",
    "public.test:65536",
    "public.test:8080",
    "public.test:-1",
    "public.test:80:80",
  ],
  ...["10.0.0.5:80", "10.0.0.5:443", "10.0.0.5:0080", "10.0.0.5:", "public.test:22:"],
  ...[
    "?",
    "#",
    " ",
    ".",
    "..",
    "a b",
    "public.test%00.x",
    "public.test\0",
    "private\t.test",
    "10.0\n.0.5",
    "\r10.0.0.5",
  ],
  ...["a".repeat(9000), "xn--", "xn--a"],
].map((host) => `http://${host}/picture.png`);

/** The same for what stands around the host. */
export const malformedUrls: readonly string[] = [
  "http:10.0.0.5/picture.png",
  "http:/10.0.0.5/picture.png",
  "http:/\\10.0.0.5/picture.png",
  "http:\\\\10.0.0.5\\picture.png",
  "http:////10.0.0.5/picture.png",
  "ht\ntp://10.0.0.5/picture.png",
  "\thttp://10.0.0.5/picture.png",
  "\u0000http://10.0.0.5/picture.png",
  "HTTP://10.0.0.5/picture.png",
  "https://10.0.0.5/picture.png",
  "//10.0.0.5/picture.png",
  "10.0.0.5/picture.png",
  "10.0.0.5:80/picture.png",
  "url:http://10.0.0.5/picture.png",
  "view-source:http://10.0.0.5/",
  "jar:http://10.0.0.5!/picture.png",
  "ws://10.0.0.5/",
  "ftp://10.0.0.5/picture.png",
  "file:///etc/hostname",
  "file://10.0.0.5/picture.png",
  "gopher://10.0.0.5:80/_GET%20/",
  "dict://10.0.0.5:80/",
  "ldap://10.0.0.5/",
  "data:image/png;base64,AAAA",
  "blob:http://10.0.0.5/0",
  "about:blank",
  "http://10.0.0.5/picture.png http://public.test/picture.png",
];

/** As it stands in a URL. */
export function bracketed(address: string): string {
  return address.includes(":") ? `[${address}]` : address;
}
