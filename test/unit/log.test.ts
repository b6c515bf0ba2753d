import { expect, test } from "bun:test";
import { createLog, type LogLevel } from "../../src/log.ts";

/** A log at a fixed time, and the lines that it writes. */
function setUp(format: "json" | "text", level: LogLevel = "debug") {
  const lines: string[] = [];
  const now = () => new Date("2026-02-03T04:05:06.789Z");
  return { lines, ...createLog({ level, format, write: (line) => lines.push(line), now }) };
}

test.each([
  ["debug", ["debug", "info", "warn", "error"]],
  ["info", ["info", "warn", "error"]],
  ["warn", ["warn", "error"]],
  ["error", ["error"]],
] as const)("at level %s it writes %p", (level, written) => {
  const { lines, ...log } = setUp("json", level);
  for (const one of ["debug", "info", "warn", "error"] as const) log[one](one);
  expect(lines.map((line) => JSON.parse(line).message)).toEqual([...written]);
});

test("JSON is one object a line, whatever the texts hold", () => {
  const { info, lines } = setUp("json");
  info('two\nlines and a "quote"', { path: "/a\r\nb", ms: 1.5, left: true, model: undefined });
  expect(lines).toHaveLength(1);
  expect(lines[0]).toMatch(/^[^\n]+\n$/);
  expect(JSON.parse(lines[0] ?? "")).toEqual({
    time: "2026-02-03T04:05:06.789Z",
    level: "info",
    message: 'two\nlines and a "quote"',
    path: "/a\r\nb",
    ms: 1.5,
    left: true,
  });
});

test("text is the time of day, the level, the message and the fields", () => {
  const { lines, warn } = setUp("text");
  warn("slow", { path: "/upload", ms: 12, cause: 'a "b"\nc', model: undefined, left: null });
  expect(lines).toEqual([
    '04:05:06 warn  slow path="/upload" ms=12 cause="a \\"b\\"\\nc" left=null\n',
  ]);
});

test("text is one line an event too", () => {
  const { error, lines } = setUp("text");
  error("could not start:\n  the port is taken\r\n");
  expect(lines).toEqual(["04:05:06 error could not start: the port is taken\n"]);
});
