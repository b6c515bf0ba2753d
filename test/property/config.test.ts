import { expect, test } from "bun:test";
import fc from "fast-check";
import { parseConfig, settings } from "../../src/config.ts";
import type { Setting } from "../../src/setting.ts";

const rows = Object.entries<Setting<unknown>>(settings);

/** Texts of every kind for some of the settings, and good ones among them. */
const environment = fc
  .array(
    fc.tuple(
      fc.constantFrom(...rows.map(([name]) => name)),
      fc.oneof(
        fc.string({ unit: "binary" }),
        fc.integer().map(String),
        fc.double().map(String),
        fc.webUrl({ withFragments: true, withQueryParameters: true }),
        fc.constantFrom("true", "json", "synthetic", "*", ",", "[::1]:1", "http://"),
      ),
    ),
  )
  .map((pairs) => Object.fromEntries(pairs));

test("any texts give a whole configuration or faults, and never throw", () => {
  fc.assert(
    fc.property(environment, (texts) => {
      const parsed = parseConfig(texts);
      if ("faults" in parsed) expect(parsed.faults.length).toBeGreaterThan(0);
      else expect(Object.keys(parsed.config)).toEqual(rows.map(([name]) => name));
    }),
  );
});

test("a fault names a setting that was given, and one setting has one fault at most", () => {
  fc.assert(
    fc.property(environment, (texts) => {
      const parsed = parseConfig(texts);
      const names = "faults" in parsed ? parsed.faults.map((fault) => fault.split(" ", 1)[0]) : [];
      expect(new Set(names).size).toBe(names.length);
      const related = ["MAX_IMAGE_BYTES", "FETCH_TIMEOUT_MS"];
      for (const name of names) expect([...Object.keys(texts), ...related]).toContain(name ?? "");
    }),
  );
});

test("whole numbers survive being written and read", () => {
  const { parse } = settings.MAX_PIXELS;
  fc.assert(
    fc.property(fc.integer({ min: 1, max: 1_000_000_000 }), (value) => {
      expect(parse(String(value))).toEqual({ value });
    }),
  );
});

test("the secret's text is never in a fault", () => {
  fc.assert(
    fc.property(environment, fc.uuid(), (texts, secret) => {
      const parsed = parseConfig({ ...texts, PORT: "none", NVIDIA_API_KEY: secret });
      expect("faults" in parsed && parsed.faults.join().includes(secret)).toBe(false);
      expect("faults" in parsed).toBe(true);
    }),
  );
});

test("a password in a URL is never in a fault", () => {
  fc.assert(
    fc.property(fc.uuid(), fc.webPath(), (password, path) => {
      const parsed = parseConfig({ NVIDIA_BASE_URL: `https://user:${password}@host${path}` });
      expect("faults" in parsed && !parsed.faults.join().includes(password)).toBe(true);
    }),
  );
});
