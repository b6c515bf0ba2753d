/**
 * The settings: one table that makes the environment names, the flags of `serve`, `--help` and the
 * README's table. Only `main.ts` reads the process's environment; everything else is handed a `Config`.
 */

import manifest from "../models/manifest.json" with { type: "json" };
import {
  choice,
  duration,
  httpUrl,
  integer,
  key,
  list,
  listenAddress,
  origin,
  pairs,
  proxy,
  rate,
  ratio,
  type Setting,
  text,
  toggle,
} from "./setting.ts";

const MIB = 1024 * 1024;

/** Below it the cache's write-ahead log would take most of its bytes. */
const minCacheBytes = 16 * MIB;

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
  CLIP_PRECISION: choice({
    of: ["fp32", "int8"],
    fallback: "fp32",
    doc: "`int8`: images in 8-bit arithmetic, two to three times as fast, under an id of its own such as `clip-ViT-B-32@int8`. Texts are fp32 always.",
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
    doc: "Folder of what can be made again: the vectors of images that were here before; native libraries, where they cannot be loaded from memory; the golden pictures of `models verify`.",
  }),
  CACHE_MAX_BYTES: integer({
    fallback: 1024 * MIB,
    min: 0,
    max: 1e15,
    doc: "Most bytes of kept vectors, at least 16 MiB; those that were not asked for longest go first. 0: none are kept.",
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
    doc: "Most bytes of kept images; once a minute the service deletes those beyond it whose last request is longest ago. 0: no limit.",
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
    doc: "Proxy for calls to NVIDIA, for the weights and for the golden pictures of `models verify`. Image URLs never go through it.",
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
  METRICS_LISTEN: listenAddress({
    doc: "Address and port such as `127.0.0.1:9464` where `/metrics` is served instead of at `PORT`, and without a key.",
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
    shownDefault: "one for each core up to 8, then fewer with several threads each",
    min: 0,
    max: 64,
    doc: "Worker threads, never more than cores, which are divided among them. A control group's quota counts: of 2.5 cores 2 are used.",
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
  LOG_HEALTH_SAMPLE: integer({
    fallback: 0,
    min: 0,
    max: 1_000_000,
    doc: "One in so many requests for `/livez`, `/readyz` and `/metrics` is logged, beside each whose status is another than the one before; 0: only those.",
  }),
  OTEL_EXPORTER_OTLP_ENDPOINT: httpUrl({
    doc: "OpenTelemetry collector that traces go to, at its path `/v1/traces`. Never through `HTTPS_PROXY`.",
  }),
  OTEL_EXPORTER_OTLP_TRACES_ENDPOINT: httpUrl({
    doc: "The same as a whole URL; it goes before the other.",
  }),
  OTEL_EXPORTER_OTLP_PROTOCOL: choice({
    of: ["http/protobuf"],
    fallback: "http/protobuf",
    doc: "What the collector is spoken to in.",
  }),
  OTEL_EXPORTER_OTLP_HEADERS: pairs(
    { doc: "Headers for the collector, `name=value` separated by commas." },
    { secret: true },
  ),
  OTEL_SERVICE_NAME: text({ fallback: "imagesvc", doc: "What the service is called in traces." }),
  OTEL_RESOURCE_ATTRIBUTES: pairs({
    doc: "What else is said of it there, such as `deployment.environment.name=production`.",
  }),
  OTEL_TRACES_SAMPLER: choice({
    of: [
      "always_on",
      "always_off",
      "traceidratio",
      "parentbased_always_on",
      "parentbased_always_off",
      "parentbased_traceidratio",
    ],
    fallback: "parentbased_always_on",
    doc: "Which requests are traced; `parentbased_…`: as the client's `traceparent` says, where it sends one.",
  }),
  OTEL_TRACES_SAMPLER_ARG: ratio({
    fallback: 1,
    doc: "Share of the requests that `…traceidratio` traces, from 0 to 1.",
  }),
  OTEL_SDK_DISABLED: toggle({
    fallback: false,
    doc: "`true`: nothing is traced, whatever else is set.",
  }),
  IMAGESVC_API_KEY: key({
    fallback: "",
    shownDefault: "none",
    doc: "API key that `imagesvc embed --remote` sends to the service.",
  }),
  IMAGESVC_API_KEY_FILE: text({
    fallback: "",
    shownDefault: "none",
    doc: "File that holds that key instead.",
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

/** The proxy for calls to NVIDIA, to the hub and for golden pictures, and the hosts that are called without it; undefined for none. */
export function proxyOf({ HTTPS_PROXY: url, NO_PROXY: noProxy }: Config) {
  return url === "" ? undefined : { url, noProxy };
}

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
  if (config.CACHE_MAX_BYTES > 0 && config.CACHE_MAX_BYTES < minCacheBytes) {
    faults.push(
      `CACHE_MAX_BYTES is "${config.CACHE_MAX_BYTES}": it must be 0, or at least ${minCacheBytes}`,
    );
  }
  if (config.FETCH_TIMEOUT_MS >= config.REQUEST_TIMEOUT_MS) {
    faults.push(
      `FETCH_TIMEOUT_MS is "${config.FETCH_TIMEOUT_MS}": it must be less than REQUEST_TIMEOUT_MS (${config.REQUEST_TIMEOUT_MS})`,
    );
  }
  return faults;
}
