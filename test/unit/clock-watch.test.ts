/** A clock that is set, and when it is believed again. */
import { expect, test } from "bun:test";
import { createClockWatch } from "../../src/store/clock-watch.ts";

const minuteMs = 60_000;
const dayMs = 24 * 60 * minuteMs;

/** A watch of a host whose clock can be set. */
function startWatch() {
  let ranMs = 0;
  let setMs = 0;
  const watch = createClockWatch({
    wallClock: () => 1.7e12 + ranMs + setMs,
    now: () => ranMs,
    toleranceMs: 10 * minuteMs,
    doubtMs: dayMs,
  });
  return {
    watch,
    run: (ms: number) => {
      ranMs += ms;
    },
    set: (ms: number) => {
      setMs += ms;
    },
  };
}

test("a clock that only runs is believed, however long", () => {
  const { watch, run } = startWatch();
  for (let day = 0; day < 1000; day += 1) {
    run(dayMs);
    expect(watch.doubtedMs()).toBe(0);
  }
});

test("a clock that is put right in small steps is believed", () => {
  const { watch, run, set } = startWatch();
  for (let step = 0; step < 1000; step += 1) {
    run(minuteMs);
    set(9 * minuteMs);
    expect(watch.doubtedMs()).toBe(0);
  }
});

test("a clock that is set ahead is doubted for a day, and then believed", () => {
  const { watch, run, set } = startWatch();
  set(365 * dayMs);
  expect(watch.doubtedMs()).toBe(365 * dayMs);
  run(dayMs - 1);
  expect(watch.doubtedMs()).toBe(365 * dayMs);
  run(1);
  expect(watch.doubtedMs()).toBe(0);
  run(dayMs);
  expect(watch.doubtedMs()).toBe(0);
});

test("a clock that is set back again is believed at once, and the next jump is doubted anew", () => {
  const { watch, run, set } = startWatch();
  for (let time = 0; time < 3; time += 1) {
    set(dayMs);
    expect(watch.doubtedMs()).toBe(dayMs);
    run(0.9 * dayMs);
    set(-dayMs);
    expect(watch.doubtedMs()).toBe(0);
  }
});

test("a clock that is set back is believed: everything looks younger than it is", () => {
  const { watch, set } = startWatch();
  set(-365 * dayMs);
  expect(watch.doubtedMs()).toBe(0);
});
