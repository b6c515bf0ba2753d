import { expect, test } from "bun:test";
import { createProgress, megabytes } from "../../src/cli/progress.ts";

/** Shows some work on paper; `at` sets the clock. */
function onPaper(isTerminal: boolean) {
  let now = 0;
  let paper = "";
  const start = createProgress({
    write: (text) => {
      paper += text;
    },
    isTerminal,
    now: () => now,
  });
  return {
    start,
    paper: () => paper,
    at: (ms: number) => {
      now = ms;
    },
  };
}

test("a terminal gets a bar with rate and time left, redrawn in its line, and gone in the end", () => {
  const { start, at, paper } = onPaper(true);
  const progress = start(megabytes);
  progress.show(100e6, 600e6);
  at(1000);
  progress.show(150e6, 600e6);
  expect(paper().split("\r\x1b[K")[2]).toBe(
    "[######..................] 25 %, 150.0 of 600.0 MB, 50.0 MB/s, 9 s left",
  );
  at(1100);
  progress.show(160e6, 600e6);
  progress.end();
  expect(paper().split("\r\x1b[K")).toHaveLength(4);
  expect(paper()).toEndWith("\r\x1b[K");
});

test("elsewhere there is a line every ten seconds, and nothing for short work", () => {
  const { start, at, paper } = onPaper(false);
  const progress = start({ name: "images", size: 1 });
  for (const ms of [0, 5_000, 9_999, 10_000, 12_000, 20_000]) {
    at(ms);
    progress.show(ms / 10, 3_000_000);
  }
  progress.end();
  expect(paper()).toBe(
    "0 %, 1000 of 3000000 images, 100.0 images/s, 8 h 19 min left\n0 %, 2000 of 3000000 images, 100.0 images/s, 8 h 19 min left\n",
  );
});

test("where nobody knows how much there is, it says how much was done", () => {
  const { start, at, paper } = onPaper(false);
  const progress = start({ name: "images", size: 1 });
  progress.show(0);
  at(70_000);
  progress.show(140);
  expect(paper()).toBe("140 images, 2.0 images/s\n");
});

test("a note stands behind the rest", () => {
  const { start, at, paper } = onPaper(false);
  const progress = start({ name: "images", size: 1 });
  progress.show(0, 200, "0 failed");
  at(10_000);
  progress.show(100, 200, "3 failed");
  expect(paper()).toBe("50 %, 100 of 200 images, 10.0 images/s, 10 s left, 3 failed\n");
});
