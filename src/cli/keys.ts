/** `imagesvc keys`: the API keys of a service. */
import { readFile } from "node:fs/promises";
import { codeOf, messageOf } from "../errors.ts";
import { limits } from "../limits.ts";
import {
  type ApiKey,
  createApiKey,
  isApiKeyName,
  parseApiKeys,
  withApiKey,
  withoutApiKey,
} from "../store/api-keys.ts";
import { editFile } from "../store/edited-file.ts";
import type { CommandCall } from "./command-call.ts";

/** Digits of a hash that are enough to tell keys apart. */
const shownDigits = 12;

/** Makes a key; stdout gets the key and nothing else. */
export async function runKeysAdd(call: CommandCall): Promise<number> {
  const [name = ""] = call.operands;
  if (!isApiKeyName(name)) {
    call.tell("imagesvc: NAME may have letters, digits, dots, dashes and underscores, at most 64");
    return 2;
  }
  return await withKeysFile(call, async (path) => {
    const { key, entry } = createApiKey(name, new Date());
    await edit(call, path, (text, keys) => {
      if (keys.some((one) => one.name === name)) {
        throw new Error(
          `there is a key named ${name} already: revoke it first, or choose another name`,
        );
      }
      return withApiKey(text, entry);
    });
    await call.print(`${key}\n`);
    call.tell("This is the only time that the key is shown. Clients send it in the header");
    call.tell("  Authorization: Bearer KEY");
    call.tell(`A running service takes it on ${atReload}`);
  });
}

/** Names the keys; a key itself is nowhere to be had. */
export async function runKeysList(call: CommandCall): Promise<number> {
  return await withKeysFile(call, async (path) => {
    const keys = parseApiKeys(await readFile(path, "utf8"));
    const rows = keys.map(({ name, created, sha256 }) => ({
      name,
      created,
      sha256_prefix: sha256.slice(0, shownDigits),
    }));
    if (call.options.has("json")) return await call.print(`${JSON.stringify(rows, null, 2)}\n`);
    const width = Math.max(0, ...rows.map(({ name }) => name.length));
    const lines = rows.map(
      (row) => `${row.name.padEnd(width)}  ${row.created.padEnd(20)}  ${row.sha256_prefix}\n`,
    );
    await call.print(lines.join(""));
    if (keys.length === 0) call.tell(noneLeft);
  });
}

/** Takes a key's line out of the file. */
export async function runKeysRevoke(call: CommandCall): Promise<number> {
  const [name = ""] = call.operands;
  return await withKeysFile(call, async (path) => {
    let left = 0;
    await edit(call, path, (text, keys) => {
      if (!keys.some((one) => one.name === name)) {
        throw new Error("there is no key of this name: see imagesvc keys list");
      }
      left = keys.length - 1;
      return withoutApiKey(text, name);
    });
    call.tell(`The key ${name} is revoked. A running service refuses it ${atReload}`);
    if (left === 0) call.tell(noneLeft);
  });
}

const noneLeft =
  "No key is left: a service with this file refuses everyone. Add a key, or unset API_KEYS_FILE to let everyone in.";

const atReload =
  "from its next SIGHUP (systemctl reload imagesvc), or from its next restart where the file is a credential of its unit.";

/** Reads the file's keys and changes its text. */
async function edit(
  call: CommandCall,
  path: string,
  change: (text: string, keys: readonly ApiKey[]) => string,
): Promise<void> {
  const { keysLockTimeoutMs: lockTimeoutMs } = limits;
  await editFile(path, (text = "") => change(text, parseApiKeys(text)), {
    lockTimeoutMs,
    signal: call.interrupted,
  });
}

/** Does the work on the file that is configured, and says in one sentence why it could not. */
async function withKeysFile(
  call: CommandCall,
  work: (path: string) => Promise<void>,
): Promise<number> {
  const path = call.config.API_KEYS_FILE;
  if (path === "") {
    call.tell("imagesvc: no file of API keys is named: set API_KEYS_FILE, or give --api-keys-file");
    return 2;
  }
  try {
    await work(path);
    return 0;
  } catch (error) {
    if (call.interrupted.aborted) return 130;
    call.tell(`imagesvc: ${path}: ${reasonOf(error, path)}`);
    return 1;
  }
}

function reasonOf(error: unknown, path: string): string {
  switch (codeOf(error)) {
    case "ENOENT":
    case "ENOTDIR":
      return "there is no such file: imagesvc keys add makes it, in a folder that is there";
    case "EACCES":
    case "EPERM":
    case "EROFS":
      return "this user may not read or change it: run the command as the file's owner";
    case "EISDIR":
      return "it is a folder: name a file";
    case "EEXIST":
      return `another process is changing it: try again, or delete ${path}.lock if none is`;
    default:
      return messageOf(error);
  }
}
