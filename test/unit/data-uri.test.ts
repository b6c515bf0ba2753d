import { describe, expect, test } from "bun:test";
import { Problem } from "../../src/errors.ts";
import { decodeBase64Image } from "../../src/image/data-uri.ts";

const maxBytes = 1000;
const bytes = Uint8Array.of(0xfb, 0xff, 0xfe, 0x00, 0x01);

function problemOf(text: string, limit = maxBytes): Problem {
  try {
    decodeBase64Image(text, limit);
  } catch (error) {
    if (error instanceof Problem) return error;
    throw error;
  }
  throw new Error("it decoded");
}

test.each([
  ["base64", "+//+AAE="],
  ["base64 without padding", "+//+AAE"],
  ["base64url", "-__-AAE="],
  ["base64url without padding", "-__-AAE"],
  ["base64 in lines", "+//+\r\nAAE=\n"],
  ["base64 with white space anywhere", " \t+/ /+A\fAE ="],
  ["a data: URI", "data:image/png;base64,+//+AAE="],
  ["a data: URI of another type, with parameters", "data:text/x;a=b;base64,+//+AAE="],
  ["a data: URI without a type", "data:;base64,+//+AAE"],
  ["a data: URI in capitals and with spaces", "\n DATA:IMAGE/PNG; BASE64 , +//+AAE= "],
  ["a data: URI in base64url", "data:image/png;base64,-__-AAE"],
  ["a data: URI that is percent-encoded", "data:image/png;base64,%2B%2F%2F%2BAAE%3D%0A"],
])("%s is decoded", (_, text) => {
  const decoded = decodeBase64Image(text, maxBytes);
  expect(decoded).toEqual(bytes);
  expect(decoded.buffer.byteLength).toBe(bytes.length);
});

describe("an invalid-base64 problem", () => {
  test.each([
    ["", "is empty"],
    [" \r\n", "is empty"],
    ["data:image/png;base64,", "is empty"],
    ["AAAA!AAA", 'Character 5 of the image\'s base64 is "!"'],
    ["https://host.example/a.jpg", 'Character 6 of the image\'s base64 is ":"'],
    ["AA\u0000A", "Character 3 of the image's base64 is U+0000"],
    ["AA\u00a0A", "Character 3 of the image's base64 is U+00A0"],
    ["AA\u000bA", "Character 3 of the image's base64 is U+000B"],
    ["AAAŁ", "Character 4 of the image's base64 is U+0141"],
    ["😀AAA", "Character 1 of the image's base64 is U+1F600"],
    ["AAA\ud800", "Character 4 of the image's base64 is U+D800"],
    ["AA%3D", 'Character 3 of the image\'s base64 is "%"'],
    ["+_AA", "mixes base64"],
    ["AA==AAAA", 'Character 3 of the image\'s base64 is "="'],
    ["A", "ends in the middle"],
    ["AAAAA", "ends in the middle"],
    ["AA=", "wrong padding"],
    ["AAAA=", "wrong padding"],
    ["====", "wrong padding"],
    ["data:image/png;base64", "no comma"],
    ["data:image/png,AAAA", ";base64 before its comma"],
    ["data:image/svg+xml;utf8,<svg/>", ";base64 before its comma"],
    ["data:base64,AAAA", ";base64 before its comma"],
    ["data:;base64,AA%", "no percent-encoding"],
    ["data:;base64,AA%FF", "no percent-encoding"],
  ])("for %p says: %s", (text, words) => {
    const problem = problemOf(text);
    expect(problem.code).toBe("invalid-base64");
    expect(problem.message).toContain(words);
  });

  test("does not repeat what was sent", () => {
    expect(problemOf(`${"secret".repeat(100)}!`).message).not.toContain("secret");
  });
});

describe("the limit", () => {
  test.each([
    [998, "A".repeat(1331)],
    [999, "A".repeat(1332)],
    [1000, `${"A".repeat(1334)}==`],
    [1000, "A".repeat(1334)],
    [1000, `data:;base64,${"A".repeat(1334)}`],
    [1000, `${"A".repeat(667)}\n${"A".repeat(667)}==\n`],
    [3, `A${"\n".repeat(5000)}AAA`],
  ])("lets %d bytes through, however they are written", (length, text) => {
    expect(decodeBase64Image(text, maxBytes)).toHaveLength(length);
  });

  test.each([
    ["bare", "A".repeat(1335)],
    ["in a data: URI", `data:;base64,${"A".repeat(1336)}`],
    ["in lines", "AAAA\n".repeat(334)],
    ["with faults behind it", `${"A".repeat(1336)}!`],
  ])("refuses one byte more as body-too-large: %s", (_, text) => {
    expect(problemOf(text).code).toBe("body-too-large");
  });
});
