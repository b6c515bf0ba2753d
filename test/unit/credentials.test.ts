/** Secrets in files: what counts as one, and what reading them again changes. */
import { expect, test } from "bun:test";
import { mkdir, rm } from "node:fs/promises";
import { join } from "node:path";
import { parseConfig } from "../../src/config.ts";
import { createApiKey, withApiKey } from "../../src/store/api-keys.ts";
import { CredentialsError, openCredentials } from "../../src/store/credentials.ts";
import { temporaryFolder } from "../support/tiny-clip.ts";

function open(settings: Readonly<Record<string, string>>, directory?: string) {
  const parsed = parseConfig(settings);
  if ("faults" in parsed) throw new Error(parsed.faults.join("; "));
  return openCredentials(parsed.config, directory);
}

/** The text of a file with one key under each name. */
function keysText(...names: readonly string[]): string {
  return names.reduce((text, name) => withApiKey(text, createApiKey(name, new Date(0)).entry), "");
}

const namesOf = (credentials: ReturnType<typeof open>) => [
  ...(credentials.apiKeys() ?? new Map<string, string>()).values(),
];

test("without settings and without systemd there are none, and nothing to read again", () => {
  const credentials = open({});
  expect(credentials.nvidiaApiKey()).toBeUndefined();
  expect(credentials.apiKeys()).toBeUndefined();
  expect(credentials.reload()).toEqual({ reread: [], faults: [] });
});

test("the setting wins over its file, and a named file over systemd's", async () => {
  await using folder = await temporaryFolder();
  const file = join(folder.path, "key");
  await Bun.write(file, "from-file\n");
  await Bun.write(join(folder.path, "nvidia_api_key"), "from-systemd\n");
  const named = { NVIDIA_API_KEY_FILE: file };
  expect(open({ ...named, NVIDIA_API_KEY: "given" }, folder.path).nvidiaApiKey()).toBe("given");
  expect(open(named, folder.path).nvidiaApiKey()).toBe("from-file");
  expect(open({}, folder.path).nvidiaApiKey()).toBe("from-systemd");
});

test("an empty credential counts as none; an empty file of API keys that was named lets nobody in", async () => {
  await using folder = await temporaryFolder();
  for (const name of ["nvidia_api_key", "api_keys", "named"]) {
    await Bun.write(join(folder.path, name), "\n");
  }
  const fromSystemd = open({}, folder.path);
  expect([fromSystemd.nvidiaApiKey(), fromSystemd.apiKeys()]).toEqual([undefined, undefined]);
  expect(open({ API_KEYS_FILE: join(folder.path, "named") }).apiKeys()?.size).toBe(0);
});

/** What keeps these credentials from being opened. */
function errorOf(settings: Readonly<Record<string, string>>, directory?: string): CredentialsError {
  try {
    open(settings, directory);
  } catch (error) {
    if (error instanceof CredentialsError) return error;
    throw error;
  }
  throw new Error("they were opened");
}

test("every file that cannot be read is told at once, with its path and the reason", async () => {
  await using folder = await temporaryFolder();
  const missing = join(folder.path, "missing");
  const { message } = errorOf({ NVIDIA_API_KEY_FILE: missing, API_KEYS_FILE: folder.path });
  expect(message.split("; ")).toEqual([
    `NVIDIA_API_KEY_FILE (${missing}) cannot be read: there is no such file`,
    `API_KEYS_FILE (${folder.path}) cannot be read: it is a folder`,
  ]);
  await mkdir(join(folder.path, "api_keys"));
  expect(errorOf({}, folder.path).message).toBe(
    "the credential api_keys cannot be read: it is a folder",
  );
});

test("beside a file that cannot be read the other secret is known", async () => {
  await using folder = await temporaryFolder();
  const file = join(folder.path, "key");
  await Bun.write(file, "from-file\n");
  const { faults, secrets } = errorOf({ NVIDIA_API_KEY_FILE: file, API_KEYS_FILE: folder.path });
  expect(faults.nvidiaApiKey).toBeUndefined();
  expect(faults.apiKeys).toStartWith("API_KEYS_FILE");
  expect(secrets.nvidiaApiKey()).toBe("from-file");
  expect(secrets.apiKeys()).toBeUndefined();
});

test.each(["bad key with spaces", "two\nlines", "schlüssel"])(
  "a file with %p is no key of NVIDIA's, and is not quoted",
  async (text) => {
    await using folder = await temporaryFolder();
    const file = join(folder.path, "key");
    await Bun.write(file, text);
    const said =
      "NVIDIA_API_KEY_FILE is not usable: it must hold one word of printable ASCII, as it was given out";
    expect(errorOf({ NVIDIA_API_KEY_FILE: file }).message).toBe(said);
    await Bun.write(file, " good\r\n");
    const credentials = open({ NVIDIA_API_KEY_FILE: file });
    await Bun.write(file, text);
    expect(credentials.reload().faults).toEqual([`${said}; the old value stays`]);
    expect(credentials.nvidiaApiKey()).toBe("good");
  },
);

test("reading again takes what the files hold now", async () => {
  await using folder = await temporaryFolder();
  const [nvidia, keys] = [join(folder.path, "nvidia"), join(folder.path, "keys")];
  await Bun.write(nvidia, "old");
  await Bun.write(keys, keysText("alice"));
  const credentials = open({ NVIDIA_API_KEY_FILE: nvidia, API_KEYS_FILE: keys });
  await Bun.write(nvidia, "new");
  await Bun.write(keys, keysText("alice", "bob"));
  expect(credentials.nvidiaApiKey()).toBe("old");
  expect(credentials.reload().reread).toEqual(["NVIDIA_API_KEY_FILE", "API_KEYS_FILE"]);
  expect(credentials.nvidiaApiKey()).toBe("new");
  expect(namesOf(credentials)).toEqual(["alice", "bob"]);
});

test("what cannot be read again stays as it was, and the rest is read all the same", async () => {
  await using folder = await temporaryFolder();
  const [nvidia, keys] = [join(folder.path, "nvidia"), join(folder.path, "keys")];
  await Bun.write(nvidia, "old");
  await Bun.write(keys, keysText("alice"));
  const credentials = open({ NVIDIA_API_KEY_FILE: nvidia, API_KEYS_FILE: keys });
  await rm(nvidia);
  await Bun.write(keys, keysText("bob"));
  const { reread, faults } = credentials.reload();
  expect(reread).toEqual(["API_KEYS_FILE"]);
  expect(faults).toEqual([
    `NVIDIA_API_KEY_FILE (${nvidia}) cannot be read: there is no such file; the old value stays`,
  ]);
  expect(credentials.nvidiaApiKey()).toBe("old");
  expect(namesOf(credentials)).toEqual(["bob"]);
  await Bun.write(nvidia, "new");
  await Bun.write(keys, "isk_a-key-that-somebody-wrote-by-hand");
  const [fault = ""] = credentials.reload().faults;
  expect(fault).toStartWith("API_KEYS_FILE: line 1");
  expect(fault).not.toContain("isk_");
  expect(namesOf(credentials)).toEqual(["bob"]);
  expect(credentials.nvidiaApiKey()).toBe("new");
});

test("a credential of API keys that disappears does not open the service", async () => {
  await using folder = await temporaryFolder();
  const path = join(folder.path, "api_keys");
  await Bun.write(path, keysText("alice"));
  const credentials = open({}, folder.path);
  await rm(path);
  expect(credentials.reload().faults).toHaveLength(1);
  expect(namesOf(credentials)).toEqual(["alice"]);
});
