/** The file of API keys: what is in it, and what is made of it. */
import { describe, expect, test } from "bun:test";
import fc from "fast-check";
import {
  apiKeyNames,
  createApiKey,
  hashApiKey,
  isApiKeyName,
  parseApiKeys,
  withApiKey,
  withoutApiKey,
} from "../../src/store/api-keys.ts";

const now = new Date("2026-11-22T10:11:12.345Z");

test("a key is 256 random bits in a form that goes into a header as it is", () => {
  const keys = Array.from({ length: 50 }, () => createApiKey("phone", now).key);
  for (const key of keys) expect(key).toMatch(/^isk_[A-Za-z0-9_-]{43}$/);
  expect(new Set(keys).size).toBe(keys.length);
});

test("a key is known again by its SHA-256 alone", () => {
  const { key, entry } = createApiKey("phone", now);
  const text = withApiKey("", entry);
  expect(entry).toEqual({
    name: "phone",
    created: "2026-11-22T10:11:12Z",
    sha256: Bun.SHA256.hash(key, "hex"),
  });
  expect(text).not.toContain(key.slice(4));
  expect(apiKeyNames(text).get(hashApiKey(key))).toBe("phone");
  expect(apiKeyNames(text).get(hashApiKey(`${key}x`))).toBeUndefined();
});

const line = (name: string, digit = "a") => `${name} 2026-11-22 sha256:${digit.repeat(64)}`;

test("a file may be written by hand: comments, gaps, tabs, other line ends", () => {
  const text = `# mine\r\n\r\n${line("a.b_c-D", "1")}\r\n  ${line("x", "2").replaceAll(" ", "\t ")}  `;
  expect(parseApiKeys(text).map(({ name }) => name)).toEqual(["a.b_c-D", "x"]);
});

test("a file without a key has none", () => {
  for (const text of ["", "\n", "# none\n"]) expect(apiKeyNames(text).size).toBe(0);
});

describe("a line that is not understood is named by its number, and not repeated", () => {
  test.each([
    ["a name that is none", line("a/b")],
    ["a name that is too long", line("x".repeat(65))],
    ["no time", `a sha256:${"a".repeat(64)}`],
    ["a key in place of its hash", `a 2026-11-22 ${createApiKey("a", now).key}`],
    ["a hash that is cut", line("a").slice(0, -1)],
    ["another hash", line("a").replace("sha256", "sha1")],
    ["something behind it", `${line("a")} x`],
  ])("%s", (_what, wrong) => {
    const text = `# header\n${line("good", "f")}\n${wrong}\n`;
    const said = 'line 3 is not "NAME TIME sha256:HEX": mend it or delete it';
    expect(() => parseApiKeys(text)).toThrow(new Error(said));
  });

  test.each([line("a", "b"), line("b", "a")])("a name or a key that is there twice", (second) => {
    expect(() => parseApiKeys(`${line("a")}\n${second}`)).toThrow(
      /^line 2 has the name or the key/,
    );
  });
});

test("adding and taking away leave every other character as it was", () => {
  const text = `# by hand\n\n${line("a", "1")}   \n# the phone\n${line("b.", "2")}`;
  const { entry } = createApiKey("new", now);
  const longer = withApiKey(text, entry);
  expect(longer).toStartWith(`${text}\n`);
  expect(withoutApiKey(longer, "new")).toBe(`${text}\n`);
  expect(withoutApiKey(text, "a")).toBe(`# by hand\n\n# the phone\n${line("b.", "2")}`);
  expect(withoutApiKey(text, "b")).toBe(text);
});

test("a file that is new says what it is", () => {
  expect(withApiKey("", createApiKey("a", now).entry)).toMatch(
    /^# API keys of imagesvc.*\n# .*\na /,
  );
});

const keyName = fc.stringMatching(/^[A-Za-z0-9._-]{1,64}$/);

test("whatever was added is read, and whatever was taken away is not", () => {
  fc.assert(
    fc.property(fc.uniqueArray(keyName, { maxLength: 8 }), fc.nat(), (names, nth) => {
      for (const name of names) expect(isApiKeyName(name)).toBe(true);
      const entries = names.map((name) => createApiKey(name, now).entry);
      const text = entries.reduce(withApiKey, "");
      expect(parseApiKeys(text)).toEqual(entries);
      const gone = names[nth % Math.max(1, names.length)] ?? "none";
      const rest = entries.filter(({ name }) => name !== gone);
      expect(parseApiKeys(withoutApiKey(text, gone))).toEqual(rest);
    }),
  );
});

test("any text is keys or one sentence without the text", () => {
  fc.assert(
    fc.property(fc.string({ unit: "binary" }), (text) => {
      try {
        expect(parseApiKeys(text).length).toBeLessThanOrEqual(text.length / 70);
      } catch (error) {
        expect(String(error)).toMatch(/^Error: line \d+ is not "NAME TIME sha256:HEX": mend it/);
      }
    }),
  );
});
