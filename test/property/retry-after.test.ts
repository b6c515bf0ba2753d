import { describe, expect, test } from "bun:test";
import fc from "fast-check";
import { parseRetryAfter } from "../../src/net/retry-after.ts";

const now = Date.parse("1994-11-06T08:49:00Z");

describe("Retry-After", () => {
  test.each([
    ["0", 0],
    ["10800", 10_800],
    [" 120 ", 120],
    ["Sun, 06 Nov 1994 08:49:37 GMT", 37],
    ["Sunday, 06-Nov-94 08:49:37 GMT", 37],
    ["Sun Nov  6 08:49:37 1994", 37],
    ["Sun, 06 Nov 1994 08:00:00 GMT", 0],
    [null, undefined],
    ["", undefined],
    ["-1", undefined],
    ["1.5", undefined],
    ["1e3", undefined],
    ["0x10", undefined],
    ["soon", undefined],
    ["Sun, 99 Nov 1994 08:49:37 GMT", undefined],
    ["1994-11-06T08:49:37Z", undefined],
    ["9".repeat(400), undefined],
  ])("%j is %p seconds", (header, seconds) => {
    expect(parseRetryAfter(header, now)).toBe(seconds);
  });

  test("every whole second that a date can name reads back", () => {
    fc.assert(
      fc.property(fc.integer({ min: 0, max: 4_000_000_000 }), (seconds) => {
        const header = new Date(now + seconds * 1000).toUTCString();
        expect(parseRetryAfter(header, now)).toBe(seconds);
      }),
    );
  });

  test("anything else means nothing, or a number of seconds that is not negative", () => {
    const text = fc.oneof(fc.string(), fc.string({ unit: "binary" }), fc.double().map(String));
    fc.assert(
      fc.property(text, fc.integer(), (header, time) => {
        const seconds = parseRetryAfter(header, time) ?? 0;
        expect(Number.isFinite(seconds) && seconds >= 0).toBe(true);
      }),
    );
  });
});
