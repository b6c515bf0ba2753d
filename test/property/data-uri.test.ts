import { expect, test } from "bun:test";
import fc from "fast-check";
import { Problem } from "../../src/errors.ts";
import { decodeBase64Image } from "../../src/image/data-uri.ts";

const image = fc.uint8Array({ minLength: 1, maxLength: 300 });
const whiteSpace = fc.constantFrom("", "\n", "\r\n", " ", "\t", "\f");

/** Base64 in every spelling that is taken. */
function spell(bytes: Uint8Array, spelling: { url: boolean; padded: boolean; lineEnd: string }) {
  const text = Buffer.from(bytes).toString(spelling.url ? "base64url" : "base64");
  const padded = spelling.padded ? text.padEnd(Math.ceil(text.length / 4) * 4, "=") : text;
  return (spelling.padded ? padded : text.replace(/=+$/, "")).replace(
    /.{1,76}/g,
    (line) => line + spelling.lineEnd,
  );
}

const spelling = fc.record({ url: fc.boolean(), padded: fc.boolean(), lineEnd: whiteSpace });
const prefix = fc.constantFrom("", "data:;base64,", "data:image/jpeg;base64,");

test("any bytes come back from any spelling of their base64", () => {
  fc.assert(
    fc.property(image, spelling, prefix, (bytes, how, start) => {
      const decoded = decodeBase64Image(start + spell(bytes, how), bytes.length);
      expect(Buffer.from(decoded)).toEqual(Buffer.from(bytes));
    }),
  );
});

test("any bytes are refused over the limit, in any spelling", () => {
  fc.assert(
    fc.property(image, spelling, prefix, (bytes, how, start) => {
      const decode = () => decodeBase64Image(start + spell(bytes, how), bytes.length - 1);
      expect(decode).toThrow(expect.objectContaining({ code: "body-too-large" }));
    }),
  );
});

test("a foreign character anywhere is found and named by its position", () => {
  const foreign = fc.string({ unit: "binary", minLength: 1, maxLength: 1 }).filter((character) => {
    return !/[A-Za-z0-9+/=_\t\n\f\r -]/.test(character);
  });
  fc.assert(
    fc.property(image, fc.nat(), foreign, (bytes, position, character) => {
      const text = spell(bytes, { url: false, padded: true, lineEnd: "" });
      const at = position % text.length;
      const decode = () => decodeBase64Image(text.slice(0, at) + character + text.slice(at), 1e6);
      expect(decode).toThrow(`Character ${at + 1} of`);
    }),
  );
});

test("any text at all decodes or is a problem, never anything else", () => {
  const text = fc.oneof(
    fc.string({ unit: "binary" }),
    fc.tuple(prefix, fc.stringMatching(/^[A-Za-z0-9+/=_%,; \n-]*$/)).map((parts) => parts.join("")),
  );
  fc.assert(
    fc.property(text, (input) => {
      try {
        expect(decodeBase64Image(input, 1000).length).toBeGreaterThan(0);
      } catch (error) {
        expect(error).toBeInstanceOf(Problem);
      }
    }),
    { numRuns: 1000 },
  );
});
