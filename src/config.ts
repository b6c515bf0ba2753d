/**
 * The settings: one table that makes the environment names, the flags of `serve`, `--help` and the
 * README's table. Only `main.ts` reads the process's environment; everything else is handed a `Config`.
 */

import manifest from "../models/manifest.json" with { type: "json" };

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

function integer(row: Row<number> & { readonly min: number; readonly max: number }) {
  const allowed = `a whole number from ${row.min} to ${row.max}`;
  return setting<number>(row, (text) => {
    const value = /^\d{1,15}$/.test(text) ? Number(text) : Number.NaN;
    return value >= row.min && value <= row.max ? { value } : { allowed };
  });
}

const durationUnitsMs = { m: 60_000, h: 3_600_000, d: 86_400_000 } as const;

/** A time span such as `30d`, read as ms. */
function duration(row: Row<number>) {
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
function rate(row: Pick<Row<RateLimit>, "doc">) {
  const allowed = "off, or requests per second, minute or hour such as 10/s, 100/m or 5000/h";
  const off = { doc: row.doc, fallback: undefined, shownDefault: "off" };
  return setting<RateLimit | undefined>(off, (input) => {
    if (input === "off" || input === "0") return { value: undefined };
    const [, count, unit] = /^([1-9]\d{0,5})\/([smh])$/.exec(input) ?? [];
    if (unit !== "s" && unit !== "m" && unit !== "h") return { allowed };
    return { value: { requests: Number(count), windowS: rateWindowsS[unit] } };
  });
}

function text(row: Row<string>, options: { readonly secret?: boolean } = {}) {
  return setting<string>(row, (value) => ({ value }), options.secret ?? false);
}

/** A key of NVIDIA: it goes into a header, so it is one word. White space around it is cut off. */
function key(row: Row<string>) {
  const allowed = "one word of printable ASCII, as NVIDIA gives it";
  const parse = (input: string): Parsed<string> => {
    const value = input.trim();
    return /^[\x21-\x7e]*$/.test(value) ? { value } : { allowed };
  };
  return setting<string>(row, parse, true);
}

function choice<const T extends string>(row: Row<NoInfer<T>> & { readonly of: readonly T[] }) {
  const parse = (input: string): Parsed<T> => {
    const value = row.of.find((one) => one === input);
    return value === undefined ? { allowed: `one of ${row.of.join(", ")}` } : { value };
  };
  return { ...setting<T>(row, parse), choices: row.of };
}

function toggle(row: Row<boolean>) {
  return setting<boolean>(row, (input) => {
    if (["true", "1", "yes", "on"].includes(input.toLowerCase())) return { value: true };
    if (["false", "0", "no", "off"].includes(input.toLowerCase())) return { value: false };
    return { allowed: "true or false" };
  });
}

function list(
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

/** An origin such as `https://ai.api.nvidia.com`, without a path; empty where there is none. */
function origin(row: Row<string>) {
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
function proxy(row: Row<string>) {
  const allowed = "a proxy such as http://host:port";
  return setting<string>(row, (input) => {
    const isProxy = URL.canParse(input) && /^https?:$/.test(new URL(input).protocol);
    return isProxy ? { value: input } : { allowed };
  });
}

const MIB = 1024 * 1024;

/** The models of the manifest, the only ones that can run here. */
const modelIds = Object.keys(manifest).filter((id): id is keyof typeof manifest => id in manifest);

/** Every setting. The order is the order of `--help` and of the README. */
export const settings = {
  PORT: integer({ fallback: 8000, min: 0, max: 65_535, doc: "TCP port; 0 takes a free one." }),
  HOST: text({ fallback: "0.0.0.0", doc: "Address to listen on." }),
  CLIP_WEIGHTS: choice({
    of: ["openai", "synthetic"],
    fallback: "openai",
    doc: "`openai`: the published weights. `synthetic`: seeded stand-ins for tests and demos, whose vectors mean nothing.",
  }),
  CLIP_MODEL: choice({
    of: modelIds,
    fallback: "clip-ViT-B-32",
    doc: "Which model of the CLIP family runs here.",
  }),
  EXIF_ORIENTATION: choice({
    of: ["apply", "ignore"],
    fallback: "apply",
    doc: "Whether a photo is turned upright by its EXIF tag first; `ignore` gives the vectors of the original service.",
  }),
  NVIDIA_API_KEY: key({
    fallback: "",
    shownDefault: "none",
    doc: "Key of NVIDIA's hosted models, for `nv-dinov2`.",
  }),
  NVIDIA_API_KEY_FILE: text({
    fallback: "",
    shownDefault: "none",
    doc: "File that holds the key instead; otherwise systemd's `$CREDENTIALS_DIRECTORY/nvidia_api_key`.",
  }),
  NVIDIA_BASE_URL: origin({
    fallback: "",
    shownDefault: "NVIDIA's own",
    doc: "Replaces every NVIDIA origin, the polling one too.",
  }),
  NVIDIA_REQUESTS_PER_MINUTE: integer({
    fallback: 0,
    shownDefault: "40 at NVIDIA's own host, 6000 where `NVIDIA_BASE_URL` is set",
    min: 0,
    max: 10_000,
    doc: "What the key's quota allows; a request that could not be sent in time is refused with 503. A free key has about 40.",
  }),
  MODELS_DIR: text({
    fallback: "",
    shownDefault: "`$STATE_DIRECTORY/models`, else `models`",
    doc: "Folder of the weights and of what is made from them.",
  }),
  DOWNLOADS_DIR: text({
    fallback: "",
    shownDefault: "`$STATE_DIRECTORY/downloads`, else `downloads`",
    doc: "Folder that keeps the received images.",
  }),
  CACHE_DIR: text({
    fallback: "",
    shownDefault: "`$CACHE_DIRECTORY`, else the user's cache folder",
    doc: "Folder of what can be made again: native libraries, where they cannot be loaded from memory.",
  }),
  NATIVE_DIR: text({
    fallback: "",
    shownDefault: "none",
    doc: "Folder of native libraries of your own, which the executable loads in place of those that it carries.",
  }),
  DOWNLOADS_KEEP: toggle({
    fallback: true,
    doc: "Whether the three `/vectorize-*` requests keep the received bytes.",
  }),
  DOWNLOADS_MAX_AGE: duration({
    fallback: 0,
    doc: "How long an image is kept after its last request: `30d`, `12h` or `90m`; then the service deletes it. 0: for ever.",
  }),
  DOWNLOADS_MAX_BYTES: integer({
    fallback: 0,
    min: 0,
    max: 1e15,
    doc: "Most bytes of kept images; the service deletes those whose last request is longest ago. 0: no limit.",
  }),
  DOWNLOADS_MIN_FREE_BYTES: integer({
    fallback: 1024 * MIB,
    min: 0,
    max: 1e15,
    doc: "Space that must stay free on the disk of `DOWNLOADS_DIR`; below it images are refused with 507.",
  }),
  HTTPS_PROXY: proxy({
    fallback: "",
    shownDefault: "none",
    doc: "Proxy for calls to NVIDIA and for the weights. Image URLs never go through it.",
  }),
  NO_PROXY: text({
    fallback: "",
    shownDefault: "none",
    doc: "Hosts that are called without the proxy.",
  }),
  HF_ENDPOINT: origin({
    fallback: "https://huggingface.co",
    doc: "Hub that the weights are downloaded from.",
  }),
  HF_TOKEN: text(
    {
      fallback: "",
      shownDefault: "none",
      doc: "Token for the hub; it goes to `HF_ENDPOINT` only.",
    },
    { secret: true },
  ),
  HF_HUB_OFFLINE: toggle({
    fallback: false,
    doc: "`true`: weights are never downloaded.",
  }),
  API_KEYS_FILE: text({
    fallback: "",
    shownDefault: "none",
    doc: "File of API keys, made by `imagesvc keys add`; otherwise systemd's `$CREDENTIALS_DIRECTORY/api_keys`. With it every request for vectors needs a key.",
  }),
  RATE_LIMIT: rate({
    doc: "How often one client may ask for vectors: `10/s`, `100/m` or `5000/h`, each of them at once if it likes; then 429. A client is an API key; without keys an IPv4 address or an IPv6 /64.",
  }),
  TRUSTED_PROXIES: list({
    fallback: [],
    each: /^[0-9A-Fa-f.:/]+$/,
    allowed: "addresses or CIDRs, separated by commas",
    doc: "Addresses and CIDRs of your own proxies, whose `X-Forwarded-For` is believed.",
  }),
  CORS_ORIGINS: list({
    fallback: ["http://localhost:3000", "http://localhost:5173"],
    each: /^(\*|https?:\/\/[^\s/]+)$/,
    allowed: "origins such as https://app.example.com, separated by commas, or *",
    doc: "Web origins whose pages may call the service; `*` for all.",
  }),
  MAX_BODY_BYTES: integer({
    fallback: 64 * MIB,
    min: 1024,
    max: 1024 * MIB,
    doc: "Largest request body.",
  }),
  MAX_IMAGE_BYTES: integer({
    fallback: 20 * MIB,
    min: 1024,
    max: 1024 * MIB,
    doc: "Largest image, however it arrives.",
  }),
  MAX_PIXELS: integer({
    fallback: 100_000_000,
    min: 1,
    max: 1_000_000_000,
    doc: "Most pixels of an image (width × height), checked before decoding.",
  }),
  FETCH_TIMEOUT_MS: integer({
    fallback: 10_000,
    min: 100,
    max: 60_000,
    doc: "Deadline for fetching one image URL, redirects included.",
  }),
  FETCH_ALLOW: list({
    fallback: [],
    each: /^[0-9A-Za-z.:[\]/_-]+$/,
    allowed: "host, host:port, CIDR or CIDR:port, separated by commas",
    doc: "Non-public hosts that image URLs may reach: `host`, `host:port`, CIDR or `CIDR:port`; without a port, every port.",
  }),
  WORKERS: integer({
    fallback: 0,
    shownDefault: "one for each core, at most 4",
    min: 0,
    max: 64,
    doc: "Worker threads, never more than cores; the cores are divided among them.",
  }),
  QUEUE_LIMIT: integer({
    fallback: 64,
    min: 0,
    max: 10_000,
    doc: "Requests for vectors that may be under way at once: fetching, waiting or in a worker. One more is refused with 503, and so is one that would wait for image hosts, or for NVIDIA, where a third of the places does already.",
  }),
  REQUEST_TIMEOUT_MS: integer({
    fallback: 60_000,
    min: 1_000,
    max: 600_000,
    doc: "Deadline of one request, from its last byte to its answer.",
  }),
  LOG_LEVEL: choice({
    of: ["debug", "info", "warn", "error"],
    fallback: "info",
    doc: "Least important log line that is written.",
  }),
  LOG_FORMAT: choice({
    of: ["auto", "json", "text", "journal"],
    fallback: "auto",
    doc: "`auto` writes text on a terminal, `journal` (text with a priority) under systemd, and JSON elsewhere.",
  }),
} as const satisfies Record<string, Setting<unknown>>;

export type SettingName = keyof typeof settings;

/** Every setting's name, in the table's order. */
export const settingNames: readonly SettingName[] = Object.keys(settings).filter(
  (name): name is SettingName => name in settings,
);

/** Every setting's value, under the setting's own name. */
export type Config = {
  readonly [Name in SettingName]: (typeof settings)[Name] extends Setting<infer T> ? T : never;
};

/** The flag of a setting: `MAX_PIXELS` is `--max-pixels`. */
export function flagOf(name: string): string {
  return `--${name.toLowerCase().replaceAll("_", "-")}`;
}

/** All settings; or what is wrong with them. */
export type ParsedConfig =
  | { readonly config: Config }
  | { readonly faults: readonly string[]; readonly mended: Config };

/**
 * Reads every setting: a flag wins over the environment, the environment over the default. An empty
 * variable counts as unset.
 *
 * @param environment names and texts as the process got them; unknown names are not ours to judge.
 * @param flags setting name → text.
 * @param names the settings that matter here; the others keep their defaults, whatever their texts say.
 * @returns the whole configuration; or one sentence for every setting that does not parse, and the
 *   configuration that has its default in each one's place.
 */
export function parseConfig(
  environment: Readonly<Record<string, string | undefined>>,
  flags: Readonly<Partial<Record<SettingName, string>>> = {},
  names: readonly SettingName[] = settingNames,
): ParsedConfig {
  const faults: string[] = [];
  const values: Record<string, unknown> = {};
  for (const name of settingNames) {
    const row: Setting<unknown> = settings[name];
    const given = names.includes(name)
      ? (flags[name] ?? (environment[name] || undefined))
      : undefined;
    if (given === undefined) {
      values[name] = row.fallback;
      continue;
    }
    const parsed = row.parse(given);
    values[name] = "value" in parsed ? parsed.value : row.fallback;
    if ("value" in parsed) continue;
    faults.push(
      `${name} is ${row.secret ? "not usable" : quote(given)}: it must be ${parsed.allowed}`,
    );
  }
  const config = values as Config;
  faults.push(...relationFaults(config, faults.length > 0));
  return faults.length > 0 ? { faults, mended: config } : { config };
}

/** A text on one line. A URL's user name and password are secrets, whatever the setting. */
function quote(text: string): string {
  return JSON.stringify(text.replace(/\/\/[^/]*@/g, "//***@"));
}

/** Limits that only make sense together. */
function relationFaults(config: Config, broken: boolean): string[] {
  if (broken) return [];
  const faults: string[] = [];
  if (config.MAX_IMAGE_BYTES > config.MAX_BODY_BYTES) {
    faults.push(
      `MAX_IMAGE_BYTES is "${config.MAX_IMAGE_BYTES}": it must be at most MAX_BODY_BYTES (${config.MAX_BODY_BYTES})`,
    );
  }
  if (config.FETCH_TIMEOUT_MS >= config.REQUEST_TIMEOUT_MS) {
    faults.push(
      `FETCH_TIMEOUT_MS is "${config.FETCH_TIMEOUT_MS}": it must be less than REQUEST_TIMEOUT_MS (${config.REQUEST_TIMEOUT_MS})`,
    );
  }
  return faults;
}
