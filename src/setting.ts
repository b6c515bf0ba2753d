/** One setting: what its text may be, what it means, and how it is told of. The table of them is `config.ts`. */

/** The result of parsing one setting: a value, or what is allowed instead. */
type Parsed<T> = { readonly value: T } | { readonly allowed: string };

/** One row of the table. */
export interface Setting<T> {
  /** Reads the text of the environment or of a flag. */
  readonly parse: (text: string) => Parsed<T>;
  readonly fallback: T;
  /** How the default is written in `--help` and in the README. */
  readonly shownDefault: string;
  /** One sentence for `--help` and the README. */
  readonly doc: string;
  /** Secrets are never a flag and never printed. */
  readonly secret: boolean;
  /** The only texts that are allowed, where they are few. */
  readonly choices?: readonly string[];
}

interface Row<T> {
  readonly fallback: T;
  readonly doc: string;
  readonly shownDefault?: string;
}

function setting<T>(row: Row<T>, parse: (text: string) => Parsed<T>, secret = false): Setting<T> {
  const shownDefault = row.shownDefault ?? String(row.fallback);
  return { parse, fallback: row.fallback, shownDefault, doc: row.doc, secret };
}

/** A whole number within bounds. */
export function integer(row: Row<number> & { readonly min: number; readonly max: number }) {
  const allowed = `a whole number from ${row.min} to ${row.max}`;
  return setting<number>(row, (text) => {
    const value = /^\d{1,15}$/.test(text) ? Number(text) : Number.NaN;
    return value >= row.min && value <= row.max ? { value } : { allowed };
  });
}

const durationUnitsMs = { m: 60_000, h: 3_600_000, d: 86_400_000 } as const;

/** A time span such as `30d`, read as ms. */
export function duration(row: Row<number>) {
  const allowed = "0, or minutes, hours or days such as 90m, 12h or 30d, at most 36500d";
  return setting<number>(row, (input) => {
    if (input === "0") return { value: 0 };
    const [, count, unit] = /^(\d{1,9})([mhd])$/.exec(input) ?? [];
    if (unit !== "m" && unit !== "h" && unit !== "d") return { allowed };
    const value = Number(count) * durationUnitsMs[unit];
    return value <= 36_500 * durationUnitsMs.d ? { value } : { allowed };
  });
}

const rateWindowsS = { s: 1, m: 60, h: 3600 } as const;

/** How often each client may ask: `requests` in any order within `windowS` seconds. */
export interface RateLimit {
  readonly requests: number;
  readonly windowS: (typeof rateWindowsS)[keyof typeof rateWindowsS];
}

/** A rate such as `100/m`; undefined for none. */
export function rate(row: Pick<Row<RateLimit>, "doc">) {
  const allowed = "off, or requests per second, minute or hour such as 10/s, 100/m or 5000/h";
  const off = { doc: row.doc, fallback: undefined, shownDefault: "off" };
  return setting<RateLimit | undefined>(off, (input) => {
    if (input === "off" || input === "0") return { value: undefined };
    const [, count, unit] = /^([1-9]\d{0,5})\/([smh])$/.exec(input) ?? [];
    if (unit !== "s" && unit !== "m" && unit !== "h") return { allowed };
    return { value: { requests: Number(count), windowS: rateWindowsS[unit] } };
  });
}

/** Where a listener of its own listens. */
export interface ListenAddress {
  /** A name or an address; IPv6 without its brackets. */
  readonly hostname: string;
  readonly port: number;
}

/** An address with a port, such as `127.0.0.1:9464`; undefined for none. */
export function listenAddress(row: Pick<Row<ListenAddress>, "doc">) {
  const allowed = "an address and a port such as 127.0.0.1:9464 or [::1]:9464";
  const none = { doc: row.doc, fallback: undefined, shownDefault: "none" };
  return setting<ListenAddress | undefined>(none, (input) => {
    const [, ipv6, name, digits] =
      /^(?:\[([\da-fA-F:.]+)\]|([\w.-]+)):(\d{1,5})$/.exec(input) ?? [];
    const hostname = ipv6 ?? name;
    const port = Number(digits);
    return hostname !== undefined && port < 65_536 ? { value: { hostname, port } } : { allowed };
  });
}

/** Any text. */
export function text(row: Row<string>, options: { readonly secret?: boolean } = {}) {
  return setting<string>(row, (value) => ({ value }), options.secret ?? false);
}

/** A key: it goes into a header, so it is one word. White space around it is cut off. */
export function key(row: Row<string>) {
  const allowed = "one word of printable ASCII, as it was given out";
  const parse = (input: string): Parsed<string> => {
    const value = input.trim();
    return /^[\x21-\x7e]*$/.test(value) ? { value } : { allowed };
  };
  return setting<string>(row, parse, true);
}

/** One of a few texts. */
export function choice<const T extends string>(
  row: Row<NoInfer<T>> & { readonly of: readonly T[] },
) {
  const parse = (input: string): Parsed<T> => {
    const value = row.of.find((one) => one === input);
    return value === undefined ? { allowed: `one of ${row.of.join(", ")}` } : { value };
  };
  return { ...setting<T>(row, parse), choices: row.of };
}

/** `true` or `false`, in the ways that people write them. */
export function toggle(row: Row<boolean>) {
  return setting<boolean>(row, (input) => {
    if (["true", "1", "yes", "on"].includes(input.toLowerCase())) return { value: true };
    if (["false", "0", "no", "off"].includes(input.toLowerCase())) return { value: false };
    return { allowed: "true or false" };
  });
}

/** Texts separated by commas. */
export function list(
  row: Row<readonly string[]> & { readonly each: RegExp; readonly allowed: string },
): Setting<readonly string[]> {
  const shownDefault = row.fallback.length === 0 ? "none" : `\`${row.fallback.join(",")}\``;
  return setting<readonly string[]>({ ...row, shownDefault }, (input) => {
    const value = input
      .split(",")
      .map((part) => part.trim())
      .filter((part) => part !== "");
    return value.every((part) => row.each.test(part)) ? { value } : { allowed: row.allowed };
  });
}

/** A share from 0 to 1. */
export function ratio(row: Row<number>) {
  return setting<number>(row, (input) => {
    const value = /^\d*\.?\d+$/.test(input) ? Number(input) : Number.NaN;
    return value <= 1 ? { value } : { allowed: "a number from 0 to 1" };
  });
}

/** Names with their values, `name=value` separated by commas; values may be percent-encoded. */
export function pairs(row: Pick<Row<unknown>, "doc">, options: { readonly secret?: boolean } = {}) {
  const allowed = "name=value, separated by commas, values percent-encoded where need be";
  const none = { doc: row.doc, fallback: {}, shownDefault: "none" };
  const parse = (input: string): Parsed<Readonly<Record<string, string>>> => {
    const entries = input.split(",").map((pair) => /^\s*([^\s=]+)\s*=\s*(.*?)\s*$/.exec(pair));
    try {
      const decoded = entries.flatMap((entry) =>
        entry === null ? [] : [[entry[1] ?? "", decodeURIComponent(entry[2] ?? "")] as const],
      );
      return decoded.length === entries.length
        ? { value: Object.fromEntries(decoded) }
        : { allowed };
    } catch {
      return { allowed };
    }
  };
  return setting<Readonly<Record<string, string>>>(none, parse, options.secret ?? false);
}

/** An http(s) URL, without user name and password; empty where there is none. */
export function httpUrl(row: Pick<Row<string>, "doc">) {
  const allowed = "a URL such as http://127.0.0.1:4318, without user name or password";
  return setting<string>({ ...row, fallback: "", shownDefault: "none" }, (input) => {
    if (!URL.canParse(input)) return { allowed };
    const { protocol, username, password, href } = new URL(input);
    return /^https?:$/.test(protocol) && username + password === "" ? { value: href } : { allowed };
  });
}

/** An origin such as `https://ai.api.nvidia.com`, without a path; empty where there is none. */
export function origin(row: Row<string>) {
  const allowed = "an origin such as https://host:port, without path, user name or password";
  return setting<string>(row, (input) => {
    if (!URL.canParse(input)) return { allowed };
    const url = new URL(input);
    const plain =
      /^https?:$/.test(url.protocol) && url.pathname === "/" && url.username + url.password === "";
    return plain && !url.search && !url.hash ? { value: url.origin } : { allowed };
  });
}

/** A proxy such as `http://proxy:3128`, with user name and password where it wants them. */
export function proxy(row: Row<string>) {
  const allowed = "a proxy such as http://host:port";
  return setting<string>(row, (input) => {
    const isProxy = URL.canParse(input) && /^https?:$/.test(new URL(input).protocol);
    return isProxy ? { value: input } : { allowed };
  });
}
