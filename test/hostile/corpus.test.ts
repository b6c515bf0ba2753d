import { expect, test } from "bun:test";
import { damagedFiles, hostileFiles, truncations } from "./corpus.ts";
import { makeSeeds } from "./seeds.ts";
import { type Tried, tryFiles } from "./trial.ts";

const seed = 1;
/** Enough for all bombs, every truncation, and some thousand damaged files. */
const runs = 5_000;

test("whatever is in a file, it is a vector or the caller's problem, and the worker lives on", async () => {
  const tried: Tried[] = [];
  const findings = await tryFiles(hostileFiles(seed), {
    runs,
    processes: 2,
    deadlineMs: 60_000,
    onTried: (one) => tried.push(one),
  });
  expect(findings.map(({ file, fault }) => `${file.name}: ${fault}`)).toEqual([]);
  expect(tried).toHaveLength(runs);
  // The corpus is worth something: it gets past the signatures, and even to vectors.
  const verdicts = Object.groupBy(tried, ({ verdict }) => verdict);
  for (const verdict of ["vector", "undecodable-image", "unsupported-image", "too-many-pixels"]) {
    expect(verdicts[verdict]?.length ?? 0).toBeGreaterThan(5);
  }
}, 240_000);

test("every kind of sound file is cut at each hundredth, and damaged", async () => {
  const seeds = await makeSeeds();
  expect([...truncations(seeds)].length).toBe(seeds.length * 99);
  const damaged = damagedFiles(seeds, seed).take(1_000).toArray();
  for (const { name } of seeds)
    expect(damaged.some((file) => file.name.startsWith(name))).toBe(true);
});

test("the same seed damages in the same way, another in another", async () => {
  const seeds = await makeSeeds();
  const [first, again, other] = [seed, seed, seed + 1_000].map((from) =>
    damagedFiles(seeds, from).take(20).toArray(),
  );
  expect(again).toEqual(first ?? []);
  expect(other).not.toEqual(first ?? []);
});
