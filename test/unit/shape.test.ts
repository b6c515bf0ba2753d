import { expect, test } from "bun:test";
import fc from "fast-check";
import { shapeOf } from "../../src/backends/shape.ts";

test.each([
  [1, 0, "1×1, none"],
  [2, 0, "2×1, 2"],
  [3, 0, "3×1, 3"],
  [8, 0, "8×1, 8"],
  [9, 0, "4×2, 9"],
  [12, 0, "6×2, 12"],
  [16, 0, "8×2, 16"],
  [32, 0, "8×4, 32"],
  [64, 0, "8×8, 64"],
  [2, 1, "1×2, none"],
  [8, 3, "3×2, 8"],
  [2, 64, "2×1, 2"],
])("%p cores and WORKERS=%p make %s threads for a lone picture", (cores, wanted, shown) => {
  const { workers, threads, wideThreads = "none" } = shapeOf(cores, wanted);
  expect(`${workers}×${threads}, ${wideThreads}`).toBe(shown);
});

test("there are never more threads than cores, and at least one worker with one thread", () => {
  fc.assert(
    fc.property(
      fc.integer({ min: 1, max: 512 }),
      fc.integer({ min: 0, max: 64 }),
      (cores, wanted) => {
        const { workers, threads, wideThreads = 1 } = shapeOf(cores, wanted);
        expect(workers).toBeGreaterThanOrEqual(1);
        expect(threads).toBeGreaterThanOrEqual(1);
        expect(workers * threads).toBeLessThanOrEqual(cores);
        expect(wideThreads).toBeLessThanOrEqual(cores);
        if (wanted > 0) expect(workers).toBeLessThanOrEqual(wanted);
      },
    ),
  );
});
