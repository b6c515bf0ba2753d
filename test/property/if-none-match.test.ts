/** `If-None-Match` as clients write it, and as they should not. */
import { expect, test } from "bun:test";
import fc from "fast-check";
import { matchesEntityTag } from "../../src/net/if-none-match.ts";

const anyTag = fc.stringMatching(/^"[\x21\x23-\x7e]{0,12}"$/);
const anyWeakness = fc.constantFrom("", "W/");
const anyGap = fc.constantFrom(",", ", ", " ,\t", ",, ");

test("a list names exactly the tags that are in it, weak or strong", () => {
  const anyList = fc.array(fc.tuple(anyWeakness, anyTag), { minLength: 1, maxLength: 6 });
  fc.assert(
    fc.property(anyList, anyGap, anyTag, (list, gap, other) => {
      const header = list.map(([weakness, tag]) => weakness + tag).join(gap);
      const tags = list.map(([, tag]) => tag);
      for (const tag of tags) expect(matchesEntityTag(header, tag)).toBe(true);
      expect(matchesEntityTag(header, other)).toBe(tags.includes(other));
    }),
  );
});

test("no header names anything, a star names everything", () => {
  fc.assert(
    fc.property(anyTag, (tag) => {
      expect(matchesEntityTag(null, tag)).toBe(false);
      expect(matchesEntityTag("", tag)).toBe(false);
      expect(matchesEntityTag(" * ", tag)).toBe(true);
    }),
  );
});

test("whatever comes, a tag that is not in it is not named, and nothing throws", () => {
  fc.assert(
    fc.property(fc.string(), (header) => {
      fc.pre(header.trim() !== "*");
      expect(matchesEntityTag(header, '"a-tag-that-nobody-guesses"')).toBe(false);
    }),
  );
});

test.each([
  ['"a" "b"', false],
  ['w/"b"', false],
  ['"a", b, "b"', false],
  ['*, "a"', false],
  ['"a",W/"b"', true],
])("%s names b: %p", (header, isNamed) => {
  expect(matchesEntityTag(header, '"b"')).toBe(isNamed);
});
