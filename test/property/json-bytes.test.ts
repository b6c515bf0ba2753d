import { expect, test } from "bun:test";
import fc from "fast-check";
import { jsonBytes } from "../../src/vector/json-bytes.ts";
import { vectorText } from "../../src/vector/vector-text.ts";

function textOf(...given: Parameters<typeof jsonBytes>): string {
  return new TextDecoder("utf-8", { fatal: true, ignoreBOM: true }).decode(jsonBytes(...given));
}

/** Values of JSON whose strings are whole UTF-16, as every request's are. */
const json = fc.jsonValue({ stringUnit: "grapheme", maxDepth: 4 });

test("a value without a vector is written as JSON.stringify writes it", () => {
  fc.assert(
    fc.property(json, (value) => {
      expect(textOf(JSON.parse(JSON.stringify(value)))).toBe(JSON.stringify(value));
    }),
    { numRuns: 2_000 },
  );
});

test("vectors stand where they were, at any depth", () => {
  const vector = Float32Array.of(0.1, -2.5);
  const answer = { a: "é\u{1F600}\n", b: { c: [vector, { d: vector }] }, e: true };
  expect(textOf(answer)).toBe(
    '{"a":"é\u{1F600}\\n","b":{"c":[[0.1,-2.5],{"d":[0.1,-2.5]}]},"e":true}',
  );
  expect(textOf(vector)).toBe("[0.1,-2.5]");
});

test("bytes are JSON that stands as it is", () => {
  const texts = [vectorText(Float32Array.of(0.3)), vectorText(Float32Array.of(4))];
  expect(textOf({ vectors: texts })).toBe('{"vectors":[[0.3],[4]]}');
});

test("a key without a value is left out, and in a list there is null", () => {
  expect(textOf({ a: undefined, b: 1, c: undefined })).toBe('{"b":1}');
  expect(textOf({ a: undefined })).toBe("{}");
  expect(textOf([undefined, 1])).toBe("[null,1]");
  expect(textOf([])).toBe("[]");
});

test("what ends it comes behind it", () => {
  expect(textOf({ a: Float32Array.of(1) }, "\n")).toBe('{"a":[1]}\n');
});
