/**
 * The commands: one table that makes the parser, `--help` and the shells' completion. A command of two
 * words, such as `models list`, belongs to a group.
 */
import { type SettingName, settingNames } from "../config.ts";

/** An argument without dashes. */
export interface Operand {
  /** As `--help` shows it, such as `DIR`. */
  readonly name: string;
  /** What a shell offers for it: paths, or these words alone. */
  readonly offers?: "files" | "folders" | readonly string[];
  readonly isOptional?: boolean;
  /** Whether more of it may follow; only the last one. */
  readonly isRepeated?: boolean;
}

/** An option of one command, beside the settings that are flags. */
export interface Option {
  readonly doc: string;
  /** What its value is called; absent for a switch. */
  readonly value?: string;
  readonly offers?: Operand["offers"];
}

/** One row of the table. */
export interface Command {
  /** One line for `--help`. */
  readonly summary: string;
  readonly operands: readonly Operand[];
  readonly options: Readonly<Record<string, Option>>;
  /** The settings that it obeys; each but the secrets is also a flag. */
  readonly settings: readonly SettingName[];
}

/** What every command that loads a model obeys: it may have to download the weights. */
const workerSettings = [
  "CLIP_WEIGHTS",
  "CLIP_PRECISION",
  "CLIP_MODEL",
  "EXIF_ORIENTATION",
  "MODELS_DIR",
  "HF_ENDPOINT",
  "HF_TOKEN",
  "HF_HUB_OFFLINE",
  "HTTPS_PROXY",
  "NO_PROXY",
  "CACHE_DIR",
  "NATIVE_DIR",
  "MAX_PIXELS",
  "WORKERS",
] as const satisfies readonly SettingName[];

/** What a command that embeds local files obeys; the last bounds another setting. */
const localSettings = [
  ...workerSettings,
  "MAX_IMAGE_BYTES",
  "MAX_BODY_BYTES",
] as const satisfies readonly SettingName[];

/** What every command that embeds obeys beside them. */
const embeddingSettings = [
  ...workerSettings,
  "NVIDIA_API_KEY",
  "NVIDIA_API_KEY_FILE",
  "NVIDIA_BASE_URL",
  "NVIDIA_REQUESTS_PER_MINUTE",
  "MAX_BODY_BYTES",
  "MAX_IMAGE_BYTES",
  "FETCH_TIMEOUT_MS",
  "FETCH_ALLOW",
  "REQUEST_TIMEOUT_MS",
] as const satisfies readonly SettingName[];

/** What every command that downloads weights obeys. */
const hubSettings = [
  "CLIP_MODEL",
  "MODELS_DIR",
  "HF_ENDPOINT",
  "HF_TOKEN",
  "HF_HUB_OFFLINE",
  "HTTPS_PROXY",
  "NO_PROXY",
] as const satisfies readonly SettingName[];

/** What every command that brings weights here obeys: the model that runs is written from them by a worker. */
const fetchSettings = [
  ...hubSettings,
  "CLIP_PRECISION",
  "CACHE_DIR",
  "NATIVE_DIR",
] as const satisfies readonly SettingName[];

/** What a command obeys that finds vectors which were made before. */
const memorySettings = ["CACHE_MAX_BYTES"] as const satisfies readonly SettingName[];

/** What a client of a running service obeys, and the service itself does not. */
const remoteSettings = [
  "IMAGESVC_API_KEY",
  "IMAGESVC_API_KEY_FILE",
] as const satisfies readonly SettingName[];

/** What the service obeys. */
const serviceSettings: readonly SettingName[] = settingNames.filter(
  (name) => !remoteSettings.some((one) => one === name),
);

const logSettings = ["LOG_LEVEL", "LOG_FORMAT"] as const satisfies readonly SettingName[];

const json = { doc: "Print JSON." } as const satisfies Option;
const model = { name: "MODEL", isOptional: true } as const satisfies Operand;

/** Every command. The order is the order of `--help`. */
export const commands = {
  serve: {
    summary: "start the service (also without any command)",
    operands: [],
    options: {
      takeover: {
        doc: "Share the port with the instance that runs, become ready, and let it finish and end.",
      },
    },
    settings: serviceSettings,
  },
  embed: {
    summary: "embed files, folders, URLs or lines of text, as JSONL, .npy or Parquet",
    operands: [{ name: "SOURCE", offers: "files", isRepeated: true }],
    options: {
      text: { doc: "Embed lines of text: each SOURCE is a text file, or - for stdin." },
      model: { doc: "Which model: that of CLIP_MODEL unless told.", value: "MODEL" },
      normalize: { doc: "Scale every vector to unit length." },
      out: {
        doc: "Write the vectors here, and not as JSONL to stdout: .jsonl, .npy (with its sources beside it, in .ids.jsonl) or .parquet.",
        value: "FILE",
        offers: "files",
      },
      resume: { doc: "Go on with what FILE has already; what failed is tried again." },
      errors: {
        doc: "Write here what could not be embedded, not among the records.",
        value: "FILE.jsonl",
        offers: "files",
      },
      unordered: { doc: "Write each record as soon as it is there." },
      shard: {
        doc: "Do the third of sixteen equal parts, such as `3/16`: every SOURCE is in one of them, wherever they run.",
        value: "I/N",
      },
      remote: {
        doc: "Have a running service embed, such as `http://host:8000`, instead of this process.",
        value: "URL",
      },
    },
    settings: [...embeddingSettings, ...memorySettings, ...remoteSettings, ...logSettings],
  },
  search: {
    summary: "find the pictures of a folder that fit a text",
    operands: [{ name: "DIR", offers: "folders" }, { name: "TEXT" }],
    options: {
      top: { doc: "How many matches are printed: 10 unless told.", value: "N" },
      open: { doc: "Write a page with the matches' pictures, and open it in the browser." },
      json,
    },
    settings: [...localSettings, ...memorySettings, ...logSettings],
  },
  "models list": {
    summary: "which models there are, and what of them is on this host",
    operands: [],
    options: { json },
    settings: hubSettings,
  },
  "models pull": {
    summary: "download the weights of a model, and write the model that runs from them",
    operands: [model],
    options: {},
    settings: fetchSettings,
  },
  "models import": {
    summary: "take the weights of a model from a folder, and write the model that runs",
    operands: [{ name: "DIR", offers: "folders" }],
    options: {
      sha256: {
        doc: "Pin a safetensors file of your own, by its SHA-256: it is served from then on, as `MODEL@` and the first 8 digits.",
        value: "HEX",
      },
      model: { doc: "Of which model. Default with --sha256: that of CLIP_MODEL.", value: "MODEL" },
    },
    settings: fetchSettings,
  },
  "models verify": {
    summary: "check that a model on this host gives the numbers that it should",
    operands: [model],
    options: {
      pictures: {
        doc: "Folder that has the golden pictures, under any names; they are fetched unless told.",
        value: "DIR",
        offers: "folders",
      },
      json,
    },
    settings: [
      ...localSettings,
      "FETCH_TIMEOUT_MS",
      "FETCH_ALLOW",
      "REQUEST_TIMEOUT_MS",
      ...logSettings,
    ],
  },
  "models remove": {
    summary: "delete the weights of a model, pinned ones too, and what was made from them",
    operands: [{ name: "MODEL" }],
    options: {},
    settings: hubSettings,
  },
  "downloads list": {
    summary: "which images are kept",
    operands: [],
    options: { json },
    settings: ["DOWNLOADS_DIR"],
  },
  "downloads prune": {
    summary: "delete kept images by age and size",
    operands: [],
    options: { "dry-run": { doc: "Only say what would be deleted." } },
    settings: ["DOWNLOADS_DIR", "CACHE_DIR", "DOWNLOADS_MAX_AGE", "DOWNLOADS_MAX_BYTES"],
  },
  "downloads delete": {
    summary: "delete one kept image, and the vectors of it that are kept",
    operands: [{ name: "SHA256" }],
    options: {},
    settings: ["DOWNLOADS_DIR", "CACHE_DIR"],
  },
  "keys add": {
    summary: "make an API key, and print it this once",
    operands: [{ name: "NAME" }],
    options: {},
    settings: ["API_KEYS_FILE"],
  },
  "keys list": {
    summary: "the names of the API keys",
    operands: [],
    options: { json },
    settings: ["API_KEYS_FILE"],
  },
  "keys revoke": {
    summary: "take an API key back",
    operands: [{ name: "NAME" }],
    options: {},
    settings: ["API_KEYS_FILE"],
  },
  doctor: {
    summary: "check what usually goes wrong on a host",
    operands: [],
    options: { json },
    settings: serviceSettings,
  },
  openapi: {
    summary: "print the OpenAPI document",
    operands: [],
    options: {},
    settings: serviceSettings,
  },
  systemd: {
    summary: "print the systemd unit for this host, or install it",
    operands: [],
    options: {
      user: {
        doc: "User that the service runs as. Default: one that lives as long as the service runs.",
        value: "NAME",
      },
      group: { doc: "With --user: group of the service. Default: the user's own.", value: "NAME" },
      "working-directory": {
        doc: "Folder of the service, with models/ and downloads/.",
        value: "DIR",
        offers: "folders",
      },
      install: { doc: "Write the unit, reload systemd, enable and start the service." },
      force: { doc: "With --install: replace a unit that is there, which is kept as a backup." },
    },
    settings: serviceSettings,
  },
  licenses: {
    summary: "print the licences of everything inside",
    operands: [],
    options: {},
    settings: [],
  },
  completions: {
    summary: "print the completion of a shell",
    operands: [{ name: "SHELL", offers: ["bash", "zsh"] }],
    options: {},
    settings: [],
  },
} as const satisfies Readonly<Record<string, Command>>;

export type CommandName = keyof typeof commands;

/** A row of the table, whichever it is. */
export function commandOf(name: CommandName): Command {
  return commands[name];
}

/** Every command's name, in the table's order. */
export const commandNames: readonly CommandName[] = Object.keys(commands).filter(
  (name): name is CommandName => name in commands,
);
