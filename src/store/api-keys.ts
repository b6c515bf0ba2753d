/** API keys, and the text of the file that holds their hashes: `NAME TIME sha256:HEX`, one a line. */
import { createHash, randomBytes } from "node:crypto";

/** One line of the file. The key itself is nowhere. */
export interface ApiKey {
  readonly name: string;
  /** ISO 8601, UTC. */
  readonly created: string;
  /** Lower-case hex digest of the key. */
  readonly sha256: string;
}

/** Whose key it is: from a key's SHA-256 in lower-case hex to its name. */
export type ApiKeyNames = ReadonlyMap<string, string>;

const header =
  "# API keys of imagesvc, one a line: its name, when it was made, the SHA-256 of the key.\n# A key is revoked by deleting its line.\n";
const namePattern = /^[A-Za-z0-9._-]{1,64}$/;
const linePattern =
  /^([A-Za-z0-9._-]{1,64})\s+(\d{4}-\d\d-\d\d(?:T\d\d:\d\d:\d\dZ)?)\s+sha256:([0-9a-f]{64})$/;

/** Whether a key may be called so: letters, digits, dots, dashes and underscores, at most 64. */
export function isApiKeyName(name: string): boolean {
  return namePattern.test(name);
}

/** Makes a new key of 256 random bits, and the line that knows it again. */
export function createApiKey(
  name: string,
  now: Date,
): { readonly key: string; readonly entry: ApiKey } {
  const key = `isk_${randomBytes(32).toString("base64url")}`;
  const created = `${now.toISOString().slice(0, 19)}Z`;
  return { key, entry: { name, created, sha256: hashApiKey(key) } };
}

/**
 * A key's digest, lower-case hex. A plain hash is enough: slow, salted ones protect words that people
 * choose, but nobody can try 256 random bits; and it costs a request next to nothing.
 */
export function hashApiKey(key: string): string {
  return createHash("sha256").update(key).digest("hex");
}

/**
 * Reads the file's text. Empty lines and those that begin with `#` say nothing.
 *
 * @throws Error with one sentence that names the first line at fault, and quotes nothing of it: whoever
 *   wrote it by hand may have put a key there.
 */
export function parseApiKeys(text: string): readonly ApiKey[] {
  const keys: ApiKey[] = [];
  for (const [index, line] of text.split("\n").entries()) {
    const content = line.trim();
    if (content === "" || content.startsWith("#")) continue;
    const [, name, created, sha256] = linePattern.exec(content) ?? [];
    if (name === undefined || created === undefined || sha256 === undefined) {
      throw new Error(`line ${index + 1} is not "NAME TIME sha256:HEX": mend it or delete it`);
    }
    if (keys.some((one) => one.name === name || one.sha256 === sha256)) {
      throw new Error(
        `line ${index + 1} has the name or the key of another line: delete one of them`,
      );
    }
    keys.push({ name, created, sha256 });
  }
  return keys;
}

/** The keys as the service looks them up. @throws Error like {@link parseApiKeys}. */
export function apiKeyNames(text: string): ApiKeyNames {
  return new Map(parseApiKeys(text).map(({ name, sha256 }) => [sha256, name]));
}

/** The text with one more line; everything that was there stays as it is. */
export function withApiKey(text: string, { name, created, sha256 }: ApiKey): string {
  const before = text.trim() === "" ? header : text.endsWith("\n") ? text : `${text}\n`;
  return `${before}${name} ${created} sha256:${sha256}\n`;
}

/** The text without the line of a key; everything else stays as it is. */
export function withoutApiKey(text: string, name: string): string {
  const lines = text.split("\n").filter((line) => linePattern.exec(line.trim())?.[1] !== name);
  return lines.join("\n");
}
