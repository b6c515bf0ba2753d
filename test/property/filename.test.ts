import { expect, test } from "bun:test";
import fc from "fast-check";
import { echoedFilename } from "../../src/http/embedding.ts";

/** Text with control characters, surrogates and whatever else a client may send. */
const anyText = fc.string({ unit: "binary", maxLength: 600 });

test("an echoed name has at most 255 characters and no control character", () => {
  fc.assert(
    fc.property(anyText, (name) => {
      const echoed = echoedFilename(name);
      expect([...echoed].length).toBeLessThanOrEqual(255);
      expect(echoed).not.toMatch(/\p{Cc}/u);
    }),
  );
});

test("a name without control characters is echoed as sent, from its beginning", () => {
  fc.assert(
    fc.property(anyText, (name) => {
      const printable = name.replace(/\p{Cc}/gu, "");
      const echoed = echoedFilename(printable);
      expect(printable.startsWith(echoed)).toBe(true);
      if ([...printable].length <= 255) expect(echoed).toBe(printable);
    }),
  );
});

test("no character is cut in two, so the answer stays well-formed", () => {
  fc.assert(
    fc.property(fc.string({ unit: "grapheme", maxLength: 600 }), (name) => {
      expect(echoedFilename(name).isWellFormed()).toBe(true);
    }),
  );
});

test("echoing twice changes nothing", () => {
  fc.assert(
    fc.property(anyText, (name) => {
      const once = echoedFilename(name);
      expect(echoedFilename(once)).toBe(once);
    }),
  );
});
