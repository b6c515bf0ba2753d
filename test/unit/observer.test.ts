import { expect, test } from "bun:test";
import { createTrail } from "../../src/http/trail.ts";
import { noteStages } from "../../src/observer.ts";

/** The stages that timings leave between two times. */
function laidOut(timings: Parameters<typeof noteStages>[1], startedAt: number, endedAt: number) {
  const trail = createTrail(undefined);
  noteStages(trail, timings, { startedAt, endedAt });
  return trail.stages;
}

test("stages of which only the lengths are known end one after the other", () => {
  expect(laidOut({ queue: 10, decode: 20, infer: 30 }, 100, 165)).toEqual([
    { stage: "infer", startedAt: 135, endedAt: 165 },
    { stage: "decode", startedAt: 115, endedAt: 135 },
    { stage: "queue", startedAt: 105, endedAt: 115 },
  ]);
});

test("none begins before the work did: somebody who joined late waited for less", () => {
  const stages = laidOut({ queue: 10, decode: 20, infer: 30 }, 145, 165);
  expect(stages).toEqual([
    { stage: "infer", startedAt: 145, endedAt: 165 },
    { stage: "decode", startedAt: 145, endedAt: 145 },
    { stage: "queue", startedAt: 145, endedAt: 145 },
  ]);
});

test("a trail adds up what several inputs leave", () => {
  const trail = createTrail("00-1-2-01");
  trail.noteInputs("url", 2);
  trail.noteInputs("url", 1);
  trail.noteImage({ bytes: 10 });
  trail.noteImage({ bytes: 5, pixels: 7 });
  trail.noteCache("hit");
  trail.noteCache("miss");
  trail.noteFailure("origin-error");
  trail.noteFailure("origin-error");
  expect(trail).toMatchObject({ bytes: 15, pixels: 7, cache: { hit: 1, miss: 1 } });
  expect([...trail.inputs]).toEqual([["url", 3]]);
  expect([...trail.failures]).toEqual([["origin-error", 2]]);
  expect(trail.traceparent()).toBe("00-1-2-01");
});
