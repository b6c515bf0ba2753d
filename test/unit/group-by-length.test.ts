import { expect, test } from "bun:test";
import fc from "fast-check";
import { groupByLength } from "../../workers/text-embedder.ts";

test("texts of about one length share an inference", () => {
  expect(groupByLength([8, 9, 8, 10])).toEqual([[0, 2, 1, 3]]);
});

test("a long text is not what short ones are padded to", () => {
  expect(groupByLength([8, 77, 8, 9, 76])).toEqual([
    [0, 2, 3],
    [4, 1],
  ]);
});

test("one inference more is not spent on a few tokens of padding", () => {
  expect(groupByLength([5, 20])).toEqual([[0, 1]]);
});

test("every text is in one group, and no division into two would be cheaper than one inference", () => {
  const lengths = fc.array(fc.integer({ min: 2, max: 77 }), { minLength: 1, maxLength: 32 });
  fc.assert(
    fc.property(lengths, (given) => {
      const groups = groupByLength(given);
      expect(groups.flat().sort((one, other) => one - other)).toEqual([...given.keys()]);
      const tokens = groups.map(
        (group) => group.length * Math.max(...group.map((at) => given[at] ?? 0)),
      );
      const together = given.length * Math.max(...given);
      const cost = tokens.reduce((sum, one) => sum + one, 0) + 18 * (groups.length - 1);
      expect(cost).toBeLessThanOrEqual(together);
    }),
  );
});
