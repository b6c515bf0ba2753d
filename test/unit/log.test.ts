import { expect, test } from "bun:test";
import {
  chooseFormat,
  createLineWriter,
  createLog,
  type LogFormat,
  type LogLevel,
} from "../../src/log.ts";

/** A log at a fixed time, and the lines that it writes. */
function setUp(format: LogFormat, level: LogLevel = "debug") {
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

test("colours mark the level alone, and the text stays the same without them", () => {
  const { lines, ...log } = setUp("colored");
  const plain = setUp("text");
  for (const level of ["debug", "info", "warn", "error"] as const) {
    log[level]("one", { path: "/upload" });
    plain[level]("one", { path: "/upload" });
  }
  expect(lines[2]).toBe('04:05:06 \u001b[33mwarn \u001b[0m one path="/upload"\n');
  expect(lines.map(Bun.stripANSI)).toEqual(plain.lines);
  expect(new Set(lines.map((line) => line.slice(9, 14))).size).toBe(4);
});

test("the journal gets a priority instead of the time, and one line an event", () => {
  const { lines, ...log } = setUp("journal");
  log.debug("asked");
  log.info("listening", { url: "http://[::]:8000/" });
  log.warn("two\nlines");
  log.error("it broke", { error: "Error: it broke\n    at serve\n    at main" });
  expect(lines).toEqual([
    "<7>debug asked\n",
    '<6>info  listening url="http://[::]:8000/"\n',
    "<4>warn  two lines\n",
    '<3>error it broke error="Error: it broke\\n    at serve\\n    at main"\n',
  ]);
});

/** A stream that is not a terminal, beside the one that the journal names. */
const pipe = {
  journalStream: "8:1234",
  stream: { dev: 8n, ino: 99n },
  isTerminal: false,
  noColor: undefined,
};
const journal = { ...pipe, stream: { dev: 8n, ino: 1234n } };
const terminal = { ...pipe, isTerminal: true };

test.each([
  ["auto", journal, "journal"],
  ["auto", pipe, "json"],
  ["auto", { ...journal, journalStream: undefined }, "json"],
  ["auto", { ...journal, stream: undefined }, "json"],
  ["auto", { ...journal, journalStream: "1234:8" }, "json"],
  ["auto", terminal, "colored"],
  ["auto", { ...terminal, noColor: "1" }, "text"],
  ["auto", { ...terminal, noColor: "" }, "colored"],
  ["text", pipe, "text"],
  ["text", journal, "text"],
  ["text", terminal, "colored"],
  ["json", terminal, "json"],
  ["json", journal, "json"],
  ["journal", terminal, "journal"],
  ["journal", pipe, "journal"],
] as const)("LOG_FORMAT=%s with %p is %s", (chosen, surroundings, expected) => {
  expect(chooseFormat(chosen, surroundings)).toBe(expected);
});

/** A stream that takes lines and says nothing until it is read to its end, as Bun's stderr on a pipe does. */
function stallingStream() {
  const lines: string[] = [];
  let waiting: (() => void)[] = [];
  return {
    lines,
    write: (line: string, written: () => void) => {
      lines.push(line);
      waiting.push(written);
    },
    drain: () => {
      const [...due] = waiting;
      waiting = [];
      for (const written of due) written();
    },
  };
}

test("lines that nobody reads are held up to a bound, and those dropped beyond it are counted", () => {
  const { lines, write, drain } = stallingStream();
  const resumed: number[] = [];
  const onResumed = (dropped: number) => resumed.push(dropped);
  const { write: writeLine } = createLineWriter({ write, maxHeldBytes: 9, onResumed });
  for (const line of ["äöü\n", "b\n", "no\n", "c\n", "d\n"]) writeLine(line);
  expect(lines).toEqual(["äöü\n", "b\n"]);
  expect(resumed).toEqual([]);
  drain();
  expect(resumed).toEqual([3]);
  writeLine("e\n");
  drain();
  expect(lines).toEqual(["äöü\n", "b\n", "e\n"]);
  expect(resumed).toEqual([3]);
});

test("the line that tells of dropped lines comes before any that follows", () => {
  const { lines, write, drain } = stallingStream();
  const { write: writeLine }: ReturnType<typeof createLineWriter> = createLineWriter({
    write,
    maxHeldBytes: 8,
    onResumed: (dropped) => writeLine(`${dropped} lost\n`),
  });
  for (const line of ["one\n", "two\n", "six\n", "ten\n"]) writeLine(line);
  drain();
  expect(lines).toEqual(["one\n", "two\n", "2 lost\n"]);
});

test("a line longer than the bound is written where no other waits", () => {
  const { lines, write } = stallingStream();
  const { write: writeLine } = createLineWriter({ write, maxHeldBytes: 4, onResumed: () => {} });
  writeLine("longer than that\n");
  expect(lines).toEqual(["longer than that\n"]);
});
