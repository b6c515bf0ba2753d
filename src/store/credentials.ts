/** Secrets that lie in files: read at the start, and again when the operator asks for it. */
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { type Config, settings } from "../config.ts";
import { codeOf, messageOf } from "../errors.ts";
import { type ApiKeyNames, apiKeyNames } from "./api-keys.ts";

/** The secrets as they were read last. */
export interface Secrets {
  /** Undefined where there is none; an empty one counts as none. */
  nvidiaApiKey(): string | undefined;
  /** The API keys; undefined where no file of them is configured, so that everyone may call; empty where it holds none. */
  apiKeys(): ApiKeyNames | undefined;
}

export interface Credentials extends Secrets {
  /** Reads every file again; where one cannot be read the old value stays. */
  reload(): Reloaded;
}

/** What keeps the secrets from being read: a sentence for each file at fault, all of them in the message. */
export class CredentialsError extends Error {
  override readonly name = "CredentialsError";
  /** One sentence under each secret that cannot be read; it names the setting, and quotes nothing of the file. */
  readonly faults: Readonly<Partial<Record<keyof Secrets, string | undefined>>>;
  /** The others; those at fault are undefined. */
  readonly secrets: Secrets;

  constructor(faults: CredentialsError["faults"], secrets: Secrets) {
    const sentences = Object.values(faults).filter((fault) => fault !== undefined);
    super(sentences.join("; "));
    this.faults = faults;
    this.secrets = secrets;
  }
}

/** What became of the files. */
export interface Reloaded {
  /** Settings and systemd credentials whose files were read, such as `API_KEYS_FILE`. */
  readonly reread: readonly string[];
  /** One sentence for each file that could not be read. */
  readonly faults: readonly string[];
}

/** A secret, and where it comes from. */
interface SecretFile<T> {
  /** How messages call the file; undefined where there is none. */
  readonly source: string | undefined;
  /** @throws Error with one sentence. */
  read(): T | undefined;
}

/**
 * Reads NVIDIA's key from the settings and everything else from the files that they name, or else from
 * systemd's credentials. An empty credential counts as none; an empty file that API_KEYS_FILE names lets
 * nobody in.
 *
 * @param directory systemd's `$CREDENTIALS_DIRECTORY`.
 * @throws CredentialsError when files cannot be read, or hold no key of NVIDIA's or no API keys.
 */
export function openCredentials(config: Config, directory: string | undefined): Credentials {
  const given = config.NVIDIA_API_KEY;
  const nvidia = held(
    given === ""
      ? nvidiaKeyFile(
          secretFile(
            "NVIDIA_API_KEY_FILE",
            config.NVIDIA_API_KEY_FILE,
            directory,
            "nvidia_api_key",
          ),
        )
      : { source: undefined, read: () => given },
  );
  const keys = held(
    apiKeysFile(secretFile("API_KEYS_FILE", config.API_KEYS_FILE, directory, "api_keys")),
  );
  const secrets = { nvidiaApiKey: nvidia.value, apiKeys: keys.value };
  const firstFaults = { nvidiaApiKey: nvidia.reload(), apiKeys: keys.reload() };
  if (Object.values(firstFaults).some((fault) => fault !== undefined)) {
    throw new CredentialsError(firstFaults, secrets);
  }
  return {
    ...secrets,
    reload: () => {
      const reread: string[] = [];
      const faults: string[] = [];
      for (const { source, reload } of [nvidia, keys]) {
        if (source === undefined) continue;
        const fault = reload();
        if (fault === undefined) reread.push(source);
        else faults.push(`${fault}; the old value stays`);
      }
      return { reread, faults };
    },
  };
}

/** A secret as it was read last; undefined before. */
function held<T>({ source, read }: SecretFile<T>) {
  let value: T | undefined;
  return {
    source,
    value: () => value,
    /** Returns one sentence, and keeps the old value, where the file cannot be read. */
    reload: (): string | undefined => {
      try {
        value = read();
        return undefined;
      } catch (error) {
        return messageOf(error);
      }
    },
  };
}

/** NVIDIA's key, as the setting itself must be. */
function nvidiaKeyFile({ source, read }: SecretFile<string>): SecretFile<string> {
  return {
    source,
    read: () => {
      const parsed = settings.NVIDIA_API_KEY.parse(read() ?? "");
      if ("value" in parsed) return parsed.value || undefined;
      throw new Error(`${source} is not usable: it must hold ${parsed.allowed}`);
    },
  };
}

/** The file's keys. One that was there and is gone must not open the service: that takes a restart. */
function apiKeysFile({ source, read }: SecretFile<string>): SecretFile<ApiKeyNames> {
  let wasThere = false;
  return {
    source,
    read: () => {
      const text = read();
      if (text === undefined && wasThere)
        throw new Error(`${source} is gone: put it back, or restart`);
      if (text === undefined) return undefined;
      wasThere = true;
      try {
        return apiKeyNames(text);
      } catch (cause) {
        throw new Error(`${source}: ${messageOf(cause)}`, { cause });
      }
    },
  };
}

function secretFile(
  setting: string,
  named: string,
  directory: string | undefined,
  credential: string,
): SecretFile<string> {
  if (named !== "") {
    return { source: setting, read: () => readSecret(`${setting} (${named})`, named) };
  }
  if (directory === undefined) return { source: undefined, read: () => undefined };
  const source = `the credential ${credential}`;
  const read = () => {
    const text = readSecret(source, join(directory, credential), "optional");
    // A unit declares each credential empty, so that it need not be there.
    return text?.trim() ? text : undefined;
  };
  return { source, read };
}

/** A file that is there but cannot be read must not count as none: the service would ask for no key. */
function readSecret(source: string, path: string, need?: "optional"): string | undefined {
  try {
    return readFileSync(path, "utf8");
  } catch (cause) {
    const isMissing = codeOf(cause) === "ENOENT";
    if (isMissing && need === "optional") return undefined;
    const why = reasons[codeOf(cause)] ?? codeOf(cause);
    throw new Error(`${source} cannot be read: ${why}`, { cause });
  }
}

const reasons: Readonly<Record<string, string>> = {
  ENOENT: "there is no such file",
  ENOTDIR: "there is no such file",
  EACCES: "this user may not read it",
  EISDIR: "it is a folder",
};
