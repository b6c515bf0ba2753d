import { expect, test } from "bun:test";
import fc from "fast-check";
import { groupByLength } from "../../workers/text-embedder.ts";

test("texts of about one length share an inference", () => {
  expect(groupByLength([8, 9, 8, 10], 1)).toEqual([[0, 2, 1, 3]]);
});

test("a long text is not what short ones are padded to", () => {
  expect(groupByLength([8, 77, 8, 9, 76], 1)).toEqual([
    [0, 2, 3],
    [4, 1],
  ]);
});

test("one inference more is not spent on a few tokens of padding", () => {
  expect(groupByLength([5, 20], 1)).toEqual([[0, 1]]);
});

test("texts of any usual length share an inference where padding costs little", () => {
  const lengths = [8, 25, 8, 9, 20, 5, 13];
  expect(groupByLength(lengths, 1).length).toBeGreaterThan(1);
  expect(groupByLength(lengths, 0.08)).toHaveLength(1);
});

test("many short texts are not spread out to the length of a long one, however little that costs", () => {
  const short = Array.from({ length: 15 }, () => 8);
  expect(groupByLength([77, ...short], 0.08)).toEqual([short.map((_, index) => index + 1), [0]]);
});

test("every text is in one group, and no division into two would be cheaper than one inference", () => {
  const lengths = fc.array(fc.integer({ min: 2, max: 77 }), { minLength: 1, maxLength: 32 });
  const paddingCost = fc.double({ min: 0, max: 1, noNaN: true });
  fc.assert(
    fc.property(lengths, paddingCost, (given, padding) => {
      const groups = groupByLength(given, padding);
      expect(groups.flat().sort((one, other) => one - other)).toEqual([...given.keys()]);
      const cells = groups.map(
        (group) => group.length * Math.max(...group.map((at) => given[at] ?? 0)),
      );
      const together = padding * given.length * Math.max(...given);
      const apart = padding * cells.reduce((sum, one) => sum + one, 0) + 18 * (groups.length - 1);
      expect(apart).toBeLessThanOrEqual(together + 1e-9);
    }),
  );
});
