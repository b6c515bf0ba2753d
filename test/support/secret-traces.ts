/** Finds secrets in whatever a program has said or written, also where they were encoded on the way. */
import { createHash } from "node:crypto";
import { readdir, readFile } from "node:fs/promises";
import { join } from "node:path";
import { settingNames, settings } from "../../src/config.ts";

/** A secret by the name that a failing test may print. */
export interface Secret {
  readonly name: string;
  readonly value: string;
}

/** Something that was said or written, and where. */
export interface Said {
  readonly where: string;
  readonly text: string;
}

/**
 * Every form in which a text could give a secret away: as it is, in a URL, in JSON, in hex, in base64 wherever it
 * begins in the encoded bytes, and as its SHA-256.
 */
export function tracesOf(secret: string): readonly string[] {
  const digest = createHash("sha256").update(secret).digest();
  const base64s = [0, 1, 2].map((offset) => innerBase64(secret, offset));
  return [
    secret,
    encodeURIComponent(secret),
    JSON.stringify(secret).slice(1, -1),
    Buffer.from(secret).toString("hex"),
    ...base64s,
    ...base64s.map((text) => text.replaceAll("+", "-").replaceAll("/", "_")),
    digest.toString("hex"),
    digest.toString("base64").replace("=", ""),
    digest.toString("base64url"),
  ];
}

/** The base64 of a text behind so many unknown bytes, without the characters that its neighbours decide. */
function innerBase64(text: string, offset: number): string {
  const bytes = Buffer.concat([Buffer.alloc(offset), Buffer.from(text)]);
  const wholeChars = Math.floor((bytes.length * 8) / 6);
  return bytes.toString("base64").slice(Math.ceil((offset * 8) / 6), wholeChars);
}

/** @returns where a secret is, one line each; the secrets themselves are not in it. */
export function findLeaks(said: readonly Said[], secrets: readonly Secret[]): readonly string[] {
  return secrets.flatMap(({ name, value }) => {
    const traces = tracesOf(value).map((trace) => trace.toLowerCase());
    return said
      .filter(({ text }) => traces.some((trace) => text.toLowerCase().includes(trace)))
      .map(({ where }) => `${name} is in ${where}`);
  });
}

/** Shorter values are stand-ins such as `x`, which any text may hold. */
const leastSecretChars = 8;

/**
 * Holds every test to it: what a service or a command said may have none of the secrets that it was given.
 *
 * @param given settings by name.
 * @throws Error that says which setting's.
 */
export function refuseLeaks(
  given: Readonly<Record<string, string | undefined>>,
  said: readonly Said[],
): void {
  const password = URL.parse(given["HTTPS_PROXY"] ?? "")?.password ?? "";
  const values = settingNames.map((name) => ({
    name,
    value: settings[name].secret ? (given[name] ?? "") : "",
  }));
  const secrets = [...values, { name: "HTTPS_PROXY", value: decodeURIComponent(password) }];
  const leaks = findLeaks(
    said,
    secrets.filter(({ value }) => value.length >= leastSecretChars),
  );
  if (leaks.length > 0) throw new Error(`secrets were given away: ${leaks.join(", ")}`);
}

/** Every file below a folder, its bytes as latin1, and its name. */
export async function saidInFiles(folder: string): Promise<readonly Said[]> {
  const entries = await readdir(folder, { recursive: true, withFileTypes: true });
  const files = entries.filter((entry) => entry.isFile());
  return await Promise.all(
    files.map(async ({ parentPath, name }) => {
      const path = join(parentPath, name);
      return { where: path, text: `${path}\n${await readFile(path, "latin1")}` };
    }),
  );
}

/** Command lines of a process and of those that it has started, as every user of the host can read them. */
export async function saidInCommandLines(pid: number): Promise<readonly Said[]> {
  const commandLine = await readFile(`/proc/${pid}/cmdline`, "latin1").catch(() => "");
  const threads = await readdir(`/proc/${pid}/task`).catch(() => []);
  const children = await Promise.all(
    threads.map((id) => readFile(`/proc/${pid}/task/${id}/children`, "latin1").catch(() => "")),
  );
  const pids = children.join(" ").split(" ").filter(Boolean).map(Number);
  const below = await Promise.all(pids.map(saidInCommandLines));
  return [{ where: `the command line of process ${pid}`, text: commandLine }, ...below.flat()];
}
