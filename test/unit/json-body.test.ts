import { describe, expect, test } from "bun:test";
import fc from "fast-check";
import { Problem } from "../../src/errors.ts";
import { limits } from "../../src/limits.ts";
import { type JsonRules, parseJsonBody } from "../../src/text/json-body.ts";

const rules: JsonRules = { maxValues: 1000, maxImageBytes: 100 };

const bytesOf = (text: string) => new TextEncoder().encode(text);
const parse = (text: string, more: Partial<JsonRules> = {}) =>
  parseJsonBody([bytesOf(text)], { ...rules, ...more });

function problemOf(run: () => unknown): Problem {
  try {
    run();
  } catch (error) {
    if (error instanceof Problem) return error;
    throw error;
  }
  throw new Error("it was parsed");
}

test("a body is the value that JSON.parse makes of it, wherever its bytes are cut", () => {
  const value = fc.jsonValue({ maxDepth: 5, stringUnit: "binary" });
  const cuts = fc.array(fc.nat(), { maxLength: 5 });
  fc.assert(
    fc.property(value, cuts, (expected, places) => {
      const bytes = bytesOf(JSON.stringify(expected));
      const ends = [...places.map((place) => place % bytes.length), bytes.length];
      const sorted = ends.toSorted((a, b) => a - b);
      const pieces = sorted.map((end, index) => bytes.subarray(sorted[index - 1] ?? 0, end));
      expect(parseJsonBody(pieces, rules)).toEqual(JSON.parse(JSON.stringify(expected)));
    }),
  );
});

describe("the image field", () => {
  const imageField = "image";

  test("has the bytes in the place of their base64, and the others stay as they are", () => {
    const value = parse(`{"a":"AAEC","image":"AAEC","b":null}`, { imageField });
    expect(value).toEqual({ a: "AAEC", image: Uint8Array.of(0, 1, 2).buffer, b: null });
  });

  test.each(["null", "5", "{}", `["AAEC"]`])("that is %s stays as it is", (text) => {
    expect(parse(`{"image":${text}}`, { imageField })).toEqual({ image: JSON.parse(text) });
  });

  test.each([`["AAEC"]`, `"AAEC"`, "null"])("is no field of %s", (text) => {
    expect(parse(text, { imageField })).toEqual(JSON.parse(text));
  });

  test("that is not base64, or too large, is a problem", () => {
    const ofImage = (text: string) => () => parse(JSON.stringify({ image: text }), { imageField });
    expect(problemOf(ofImage("!")).code).toBe("invalid-base64");
    expect(problemOf(ofImage("A".repeat(200))).code).toBe("body-too-large");
  });
});

test("a body of very many names is refused, however they are spaced", () => {
  const bodyOf = (names: number, colon: string) =>
    `{${Array.from({ length: names }, (_, index) => `"${index}"${colon}1`).join()}}`;
  const { maxJsonNames } = limits;
  for (const colon of [":", " \t\n :"]) {
    expect(() => parse(bodyOf(maxJsonNames, colon), { maxValues: 100_000 })).not.toThrow();
    const many = () => parse(bodyOf(maxJsonNames + 1, colon), { maxValues: 100_000 });
    expect(problemOf(many)).toMatchObject({ code: "malformed-body" });
  }
});

test("a list longer than any field takes is cut, and stays too long", () => {
  const list = Array.from({ length: 5000 }, (_, index) => String(index));
  const value = parse(JSON.stringify({ text: list, other: [1] }), { maxValues: 100_000 });
  expect(value).toEqual({ text: list.slice(0, limits.maxTexts + 1), other: [1] });
});

test("a name that prototypes have is a field like any other", () => {
  const value = parse(`{"__proto__":{"a":1},"constructor":2}`);
  expect(Object.keys(Object(value))).toEqual(["__proto__", "constructor"]);
  expect(Object(value).a).toBeUndefined();
});

test("raw line breaks are read as the rules say", () => {
  const text = '{\r\n"a": "x\r\ny"}';
  expect(parse(text, { lineBreak: "" })).toEqual({ a: "xy" });
  expect(parse(text, { lineBreak: " " })).toEqual({ a: "x  y" });
  expect(problemOf(() => parse(text)).message).toContain("check quotes");
});

describe("a malformed body", () => {
  test.each([
    ["of nothing", "", "is empty"],
    ["of white space", " \n", "is empty"],
    ["cut in a string", `{"a": "x`, "ends too early"],
    ["cut before a value", `{"a": `, "ends too early"],
    ["with a bare word", `{"a": x}`, "check quotes"],
    ["with a thousand commas", `[${",".repeat(1000)}]`, "more than 1000 values"],
    ["of lists in lists", "[".repeat(65) + "]".repeat(65), "nested more than 64 deep"],
    [
      "of objects in objects",
      `${`{"a":`.repeat(65)}1${"}".repeat(65)}`,
      "nested more than 64 deep",
    ],
  ])("%s is told as such", (_what, text, words) => {
    const problem = problemOf(() => parse(text));
    expect(problem.code).toBe("malformed-body");
    expect(problem.message).toContain(words);
  });

  test("that is not UTF-8 is told as such, also where it is cut in the middle of a character", () => {
    for (const bytes of [Uint8Array.of(0x22, 0xff, 0x22), bytesOf(`"é"`).subarray(0, 2)]) {
      expect(problemOf(() => parseJsonBody([bytes], rules)).message).toContain("not UTF-8");
    }
  });

  test("is not repeated in the problem, nor in its cause", () => {
    const problem = problemOf(() => parse(`{"a": secret}`));
    expect(`${problem.message} ${String(problem.cause)}`).not.toContain("secret");
  });
});

test("as many levels as the limit are taken", () => {
  const levels = limits.maxJsonDepth;
  const text = "[".repeat(levels) + "]".repeat(levels);
  expect(parse(text)).toEqual(JSON.parse(text));
});
