/** The settings, one by one and together. */
import { describe, expect, test } from "bun:test";
import { type Config, flagOf, parseConfig, type SettingName, settings } from "../../src/config.ts";

type Environment = Readonly<Record<string, string | undefined>>;
type Flags = Readonly<Partial<Record<SettingName, string>>>;

function configOf(environment: Environment, flags: Flags = {}): Config {
  const parsed = parseConfig(environment, flags);
  if ("faults" in parsed) throw new Error(parsed.faults.join("\n"));
  return parsed.config;
}

function faultsOf(environment: Environment, flags: Flags = {}): readonly string[] {
  const parsed = parseConfig(environment, flags);
  return "faults" in parsed ? parsed.faults : [];
}

/** What is set where nobody sets anything. */
const defaults: Config = {
  PORT: 8000,
  HOST: "0.0.0.0",
  CLIP_WEIGHTS: "openai",
  CLIP_PRECISION: "fp32",
  CLIP_MODEL: "clip-ViT-B-32",
  EXIF_ORIENTATION: "apply",
  NVIDIA_API_KEY: "",
  NVIDIA_API_KEY_FILE: "",
  NVIDIA_BASE_URL: "",
  NVIDIA_REQUESTS_PER_MINUTE: 0,
  MODELS_DIR: "",
  DOWNLOADS_DIR: "",
  CACHE_DIR: "",
  CACHE_MAX_BYTES: 1024 * 1024 * 1024,
  NATIVE_DIR: "",
  DOWNLOADS_KEEP: true,
  DOWNLOADS_MAX_AGE: 0,
  DOWNLOADS_MAX_BYTES: 0,
  DOWNLOADS_MIN_FREE_BYTES: 1_073_741_824,
  HTTPS_PROXY: "",
  NO_PROXY: "",
  HF_ENDPOINT: "https://huggingface.co",
  HF_TOKEN: "",
  HF_HUB_OFFLINE: false,
  API_KEYS_FILE: "",
  RATE_LIMIT: undefined,
  METRICS_LISTEN: undefined,
  TRUSTED_PROXIES: [],
  CORS_ORIGINS: ["http://localhost:3000", "http://localhost:5173"],
  MAX_BODY_BYTES: 67_108_864,
  MAX_IMAGE_BYTES: 20_971_520,
  MAX_PIXELS: 100_000_000,
  FETCH_TIMEOUT_MS: 10_000,
  FETCH_ALLOW: [],
  WORKERS: 0,
  QUEUE_LIMIT: 64,
  REQUEST_TIMEOUT_MS: 60_000,
  LOG_LEVEL: "info",
  LOG_FORMAT: "auto",
  LOG_HEALTH_SAMPLE: 0,
  OTEL_EXPORTER_OTLP_ENDPOINT: "",
  OTEL_EXPORTER_OTLP_TRACES_ENDPOINT: "",
  OTEL_EXPORTER_OTLP_PROTOCOL: "http/protobuf",
  OTEL_EXPORTER_OTLP_HEADERS: {},
  OTEL_SERVICE_NAME: "imagesvc",
  OTEL_RESOURCE_ATTRIBUTES: {},
  OTEL_TRACES_SAMPLER: "parentbased_always_on",
  OTEL_TRACES_SAMPLER_ARG: 1,
  OTEL_SDK_DISABLED: false,
  IMAGESVC_API_KEY: "",
  IMAGESVC_API_KEY_FILE: "",
};

test("an empty environment gives every default", () => {
  expect(configOf({})).toEqual(defaults);
});

test("an empty variable counts as unset, an unknown one is not ours", () => {
  const empty = Object.fromEntries(Object.keys(settings).map((name) => [name, ""]));
  expect(configOf({ ...empty, PATH: "/bin", IMAGESVC_PORT: "x" })).toEqual(defaults);
});

describe("whole numbers have limits, and both ends belong to them", () => {
  test.each([
    ["PORT", 0, 65_535],
    ["NVIDIA_REQUESTS_PER_MINUTE", 0, 10_000],
    ["DOWNLOADS_MAX_BYTES", 0, 1e15 - 1],
    ["DOWNLOADS_MIN_FREE_BYTES", 0, 1e15 - 1],
    ["MAX_BODY_BYTES", 1024, 1_073_741_824],
    ["MAX_IMAGE_BYTES", 1024, 1_073_741_824],
    ["MAX_PIXELS", 1, 1_000_000_000],
    ["FETCH_TIMEOUT_MS", 100, 60_000],
    ["WORKERS", 0, 64],
    ["QUEUE_LIMIT", 0, 10_000],
    ["REQUEST_TIMEOUT_MS", 1_000, 600_000],
  ] as const)("%s", (name, min, max) => {
    const { parse } = settings[name];
    expect(parse(String(min))).toEqual({ value: min });
    expect(parse(String(max))).toEqual({ value: max });
    for (const wrong of [
      min - 1,
      max + 1,
      `${min}.5`,
      `+${min}`,
      "1e3",
      "0x10",
      " 1",
      "ten",
      "-0",
    ]) {
      expect(parse(String(wrong))).toHaveProperty("allowed");
    }
  });
});

describe("time spans", () => {
  test.each([
    ["0", 0],
    ["1m", 60_000],
    ["90m", 5_400_000],
    ["12h", 43_200_000],
    ["30d", 2_592_000_000],
    ["36500d", 3_153_600_000_000],
  ] as const)("%s", (text, ms) => {
    expect(configOf({ DOWNLOADS_MAX_AGE: text }).DOWNLOADS_MAX_AGE).toBe(ms);
  });

  test.each(["1", "30", "d", "30 d", "-1d", "1.5h", "30D", "30s", "1w", "36501d", "1d12h"])(
    "%s is none",
    (text) => {
      const allowed = "0, or minutes, hours or days such as 90m, 12h or 30d, at most 36500d";
      expect(faultsOf({ DOWNLOADS_MAX_AGE: text })).toEqual([
        `DOWNLOADS_MAX_AGE is "${text}": it must be ${allowed}`,
      ]);
    },
  );
});

describe("rates", () => {
  test.each([
    ["10/s", { requests: 10, windowS: 1 }],
    ["100/m", { requests: 100, windowS: 60 }],
    ["999999/h", { requests: 999_999, windowS: 3600 }],
    ["off", undefined],
    ["0", undefined],
  ] as const)("%s", (text, rate) => {
    expect(configOf({ RATE_LIMIT: text }).RATE_LIMIT).toEqual(rate);
  });

  test.each(["100", "0/s", "1/d", "1/", "/m", "1/M", "-1/s", "1.5/s", " 1/s", "1000000/h", "on"])(
    "%s is none",
    (text) => {
      const allowed = "off, or requests per second, minute or hour such as 10/s, 100/m or 5000/h";
      expect(faultsOf({ RATE_LIMIT: text })).toEqual([
        `RATE_LIMIT is "${text}": it must be ${allowed}`,
      ]);
    },
  );
});

describe("choices take their names and nothing else", () => {
  test.each([
    ["CLIP_WEIGHTS", ["openai", "synthetic"]],
    ["CLIP_MODEL", ["clip-ViT-B-32", "clip-ViT-B-16", "clip-ViT-L-14"]],
    ["EXIF_ORIENTATION", ["apply", "ignore"]],
    ["LOG_LEVEL", ["debug", "info", "warn", "error"]],
    ["LOG_FORMAT", ["auto", "json", "text", "journal"]],
  ] as const)("%s", (name, names) => {
    for (const one of names) expect(configOf({ [name]: one })[name]).toBe(one);
    for (const wrong of ["none", names[0].toUpperCase(), ` ${names[0]}`]) {
      expect(faultsOf({ [name]: wrong })).toEqual([
        `${name} is "${wrong}": it must be one of ${names.join(", ")}`,
      ]);
    }
  });
});

test.each([
  ["true", true],
  ["YES", true],
  ["1", true],
  ["on", true],
  ["False", false],
  ["no", false],
  ["0", false],
  ["off", false],
])("DOWNLOADS_KEEP=%s", (text, value) => {
  expect(configOf({ DOWNLOADS_KEEP: text }).DOWNLOADS_KEEP).toBe(value);
});

test("a switch that is neither on nor off is a fault", () => {
  expect(faultsOf({ DOWNLOADS_KEEP: "maybe" })).toEqual([
    'DOWNLOADS_KEEP is "maybe": it must be true or false',
  ]);
});

test("lists are parted by commas, with spaces and gaps forgiven", () => {
  const { CORS_ORIGINS, FETCH_ALLOW } = configOf({
    CORS_ORIGINS: " https://a.example , http://b.example:81,,",
    FETCH_ALLOW: "10.0.0.0/8,[fd00::/8]:8080 , pictures.internal:81",
  });
  expect(CORS_ORIGINS).toEqual(["https://a.example", "http://b.example:81"]);
  expect(FETCH_ALLOW).toEqual(["10.0.0.0/8", "[fd00::/8]:8080", "pictures.internal:81"]);
  expect(configOf({ CORS_ORIGINS: "*" }).CORS_ORIGINS).toEqual(["*"]);
});

test.each([
  ["CORS_ORIGINS", "a.example"],
  ["CORS_ORIGINS", "https://a.example/"],
  ["CORS_ORIGINS", "https://a.example,ftp://b.example"],
  ["FETCH_ALLOW", "http://pictures.internal/?"],
  ["FETCH_ALLOW", "one two"],
  ["TRUSTED_PROXIES", "proxy.internal"],
])("%s=%s is a fault", (name, text) => {
  expect(faultsOf({ [name]: text })).toHaveLength(1);
});

test("an origin is taken as scheme, host and port", () => {
  for (const text of ["https://nim.internal:8443", "https://nim.internal:8443/"]) {
    expect(configOf({ NVIDIA_BASE_URL: text }).NVIDIA_BASE_URL).toBe("https://nim.internal:8443");
  }
});

test.each([
  "nim.internal",
  "ftp://nim.internal",
  "https://nim.internal/v1",
  "https://nim.internal/?a=b",
  "https://nim.internal/#a",
  "https://somebody@nim.internal",
  "https://:hunter2@nim.internal",
])("NVIDIA_BASE_URL=%s is a fault", (text) => {
  expect(faultsOf({ NVIDIA_BASE_URL: text })).toHaveLength(1);
});

test("a password in a URL is not repeated in the fault", () => {
  const [fault] = faultsOf({ NVIDIA_BASE_URL: "https://somebody:hunter2@nim.internal/v1" });
  expect(fault).toContain("nim.internal/v1");
  expect(fault).not.toContain("hunter2");
  expect(fault).not.toContain("somebody");
});

test("every fault is told at once, in the order of the table, with what was given", () => {
  const faults = faultsOf({ WORKERS: "many", PORT: "70000", LOG_LEVEL: "loud" });
  expect(faults).toEqual([
    'PORT is "70000": it must be a whole number from 0 to 65535',
    'WORKERS is "many": it must be a whole number from 0 to 64',
    'LOG_LEVEL is "loud": it must be one of debug, info, warn, error',
  ]);
});

test("an image may not be larger than a body", () => {
  const sizes = { MAX_BODY_BYTES: "2048", MAX_IMAGE_BYTES: "2048" };
  expect(faultsOf(sizes)).toEqual([]);
  expect(faultsOf({ ...sizes, MAX_IMAGE_BYTES: "2049" })).toEqual([
    'MAX_IMAGE_BYTES is "2049": it must be at most MAX_BODY_BYTES (2048)',
  ]);
});

test("a fetch must end before its request does", () => {
  const times = { FETCH_TIMEOUT_MS: "999", REQUEST_TIMEOUT_MS: "1000" };
  expect(faultsOf(times)).toEqual([]);
  expect(faultsOf({ ...times, FETCH_TIMEOUT_MS: "1000" })).toEqual([
    'FETCH_TIMEOUT_MS is "1000": it must be less than REQUEST_TIMEOUT_MS (1000)',
  ]);
});

test("a cache has room for something, or is turned off", () => {
  const fault = (given: string) => faultsOf({ CACHE_MAX_BYTES: given });
  expect(fault("16777215")).toEqual([
    'CACHE_MAX_BYTES is "16777215": it must be 0, or at least 16777216',
  ]);
  expect([...fault("0"), ...fault("16777216")]).toEqual([]);
});

test("relations are not judged while a setting is broken", () => {
  expect(faultsOf({ MAX_BODY_BYTES: "1", MAX_IMAGE_BYTES: "2048" })).toHaveLength(1);
});

test("a flag wins over the environment, also where that is broken, and an empty flag is a value", () => {
  expect(configOf({ PORT: "x" }, { PORT: "81" }).PORT).toBe(81);
  expect(configOf({ HOST: "127.0.0.1" }, { HOST: "::1" }).HOST).toBe("::1");
  expect(configOf({ FETCH_ALLOW: "localhost" }, { FETCH_ALLOW: "" }).FETCH_ALLOW).toEqual([]);
});

test("a setting's flag is its name in lower case with hyphens", () => {
  expect(flagOf("MAX_PIXELS")).toBe("--max-pixels");
});

test("secrets are no fault text", () => {
  const secrets = Object.entries(settings).filter(([, { secret }]) => secret);
  expect(secrets.map(([name]) => name)).toEqual([
    "NVIDIA_API_KEY",
    "HF_TOKEN",
    "OTEL_EXPORTER_OTLP_HEADERS",
    "IMAGESVC_API_KEY",
  ]);
  const faults = faultsOf({ NVIDIA_API_KEY: "nvapi-secret", PORT: "x" });
  expect(faults.join()).not.toContain("nvapi-secret");
});

test("a key of NVIDIA's is one word; white space around it is cut off", () => {
  expect(parseConfig({ NVIDIA_API_KEY: " nvapi-a\r\n" })).toMatchObject({
    config: { NVIDIA_API_KEY: "nvapi-a" },
  });
  expect(parseConfig({ NVIDIA_API_KEY: " \n" })).toMatchObject({ config: { NVIDIA_API_KEY: "" } });
  for (const NVIDIA_API_KEY of ["bad key with spaces", "nvapi-a\nnvapi-b", "schlüssel"]) {
    expect(faultsOf({ NVIDIA_API_KEY })).toEqual([
      "NVIDIA_API_KEY is not usable: it must be one word of printable ASCII, as it was given out",
    ]);
  }
});

test("a setting that does not matter here keeps its default, whatever its text", () => {
  const parsed = parseConfig({ PORT: "none", WORKERS: "3" }, {}, ["WORKERS"]);
  expect(parsed).toMatchObject({ config: { PORT: 8000, WORKERS: 3 } });
});

test("a proxy must be an http(s) URL, and its password is not repeated", () => {
  for (const HTTPS_PROXY of ["nonsense", "ftp://u:hunter2@proxy"]) {
    const parsed = parseConfig({ HTTPS_PROXY });
    if (!("faults" in parsed)) throw new Error(`${HTTPS_PROXY} was taken`);
    expect(parsed.faults.join()).toContain("HTTPS_PROXY");
    expect(parsed.faults.join()).not.toContain("hunter2");
  }
});

test.each([
  ["127.0.0.1:9464", { hostname: "127.0.0.1", port: 9464 }],
  ["[::1]:9464", { hostname: "::1", port: 9464 }],
  ["metrics.internal:80", { hostname: "metrics.internal", port: 80 }],
])("METRICS_LISTEN=%s", (text, address) => {
  expect(configOf({ METRICS_LISTEN: text }).METRICS_LISTEN).toEqual(address);
});

test.each(["9464", "127.0.0.1", "::1:9464", "127.0.0.1:65536", "http://127.0.0.1:9464", ":9464"])(
  "METRICS_LISTEN=%s is a fault",
  (text) => {
    expect(faultsOf({ METRICS_LISTEN: text })).toEqual([
      `METRICS_LISTEN is "${text}": it must be an address and a port such as 127.0.0.1:9464 or [::1]:9464`,
    ]);
  },
);

test("names with values may be percent-encoded, and have blanks around them", () => {
  const { OTEL_RESOURCE_ATTRIBUTES: attributes } = configOf({
    OTEL_RESOURCE_ATTRIBUTES: "a=1, b.c = x%2Cy ,d=",
  });
  expect(attributes).toEqual({ a: "1", "b.c": "x,y", d: "" });
});

test.each(["a", "=x", "a=%", "a=1,,b=2"])("OTEL_RESOURCE_ATTRIBUTES=%s is a fault", (text) => {
  expect(faultsOf({ OTEL_RESOURCE_ATTRIBUTES: text })).toHaveLength(1);
});

test.each([
  ["OTEL_EXPORTER_OTLP_ENDPOINT", "collector:4318"],
  ["OTEL_EXPORTER_OTLP_ENDPOINT", "http://me:secret@collector:4318"],
  ["OTEL_EXPORTER_OTLP_PROTOCOL", "grpc"],
  ["OTEL_TRACES_SAMPLER", "jaeger_remote"],
  ["OTEL_TRACES_SAMPLER_ARG", "1.5"],
  ["OTEL_TRACES_SAMPLER_ARG", "-1"],
])("%s=%s is a fault", (name, text) => {
  const faults = faultsOf({ [name]: text });
  expect(faults).toHaveLength(1);
  expect(faults[0]).not.toContain("secret");
});

test("a collector's URL keeps its path", () => {
  const url = "https://otel.example/otlp";
  expect(configOf({ OTEL_EXPORTER_OTLP_ENDPOINT: url }).OTEL_EXPORTER_OTLP_ENDPOINT).toBe(url);
});
