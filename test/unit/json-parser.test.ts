/** Large JSON bodies in a thread of their own: what comes back, who waits, and what becomes of the thread. */
import { afterEach, expect, test } from "bun:test";
import { existsSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import type { ParseJson } from "../../src/backends/protocol.ts";
import { Problem } from "../../src/errors.ts";
import { workerFiles } from "../../src/native/worker-files.ts";
import {
  createJsonParser,
  type JsonParser,
  type JsonParserOptions,
} from "../../src/sources/json-parser.ts";
import { parseJsonBody } from "../../src/text/json-body.ts";
import { until } from "../support/client.ts";
import { temporaryFolder } from "../support/tiny-clip.ts";

const scripted = fileURLToPath(new URL("../support/scripted-json-worker.ts", import.meta.url));
const parsers: JsonParser[] = [];

afterEach(async () => {
  await Promise.all(parsers.splice(0).map((parser) => parser.close()));
});

/** A parser whose bodies are all large. */
function startParser(options: Partial<JsonParserOptions> = {}): JsonParser {
  const times = { parseTimeoutMs: 20_000, timeoutMs: 40_000, idleMs: 20_000 };
  const defaults = { filename: scripted, maxInlineBytes: 0, ...times };
  const parser = createJsonParser({ ...defaults, ...options });
  parsers.push(parser);
  return parser;
}

function taskOf(text: string, pieceBytes = text.length): ParseJson {
  const bytes = new TextEncoder().encode(text);
  const starts = Array.from({ length: Math.ceil(bytes.length / pieceBytes) }, (_, i) => i);
  const pieces = starts.map((i) => bytes.slice(i * pieceBytes, (i + 1) * pieceBytes));
  return { pieces, rules: { maxValues: 100, maxImageBytes: 1_000_000, imageField: "image" } };
}

const staying = () => new AbortController().signal;
const parse = (parser: JsonParser, value: unknown, signal = staying()) =>
  parser.parse(taskOf(JSON.stringify(value)), signal);

async function failureOf(work: Promise<unknown>): Promise<unknown> {
  const [settled] = await Promise.allSettled([work]);
  return settled.status === "rejected" ? settled.reason : undefined;
}

test("a large body comes back as the main thread would parse it, with the image's bytes", async () => {
  const parser = startParser({ filename: workerFiles.json });
  const image = Buffer.alloc(300_000, "picture").toString("base64");
  const text = JSON.stringify({ a: ["é", null, 1.5, { b: "\ud83d" }], image });
  const { pieces, rules } = taskOf(text, 65_536);
  const expected = parseJsonBody(pieces, rules);
  const value = await parser.parse({ pieces, rules }, staying());
  expect(value).toEqual(expected);
  expect(value).toHaveProperty("image", expect.any(ArrayBuffer));
});

test("the bytes of a large body move to the thread, and are never copied on the way", async () => {
  const task = taskOf(`{"a":"${"x".repeat(1000)}"}`, 100);
  await startParser().parse(task, staying());
  expect(task.pieces.every(({ buffer }) => buffer.detached)).toBe(true);
});

test("pieces that share one buffer are read as they are", async () => {
  const parser = startParser();
  const { rules } = taskOf("");
  const bytes = new TextEncoder().encode(`xx{"a":1}xx`);
  const pieces = [bytes.subarray(2, 5), bytes.subarray(5, -2)];
  expect(await parser.parse({ pieces, rules }, staying())).toEqual({ a: 1 });
});

for (const [what, text] of [
  ["no JSON", "{'a': 1}"],
  ["cut short", `{"a": [`],
  ["too many values", `[${",".repeat(200)}`],
  ["too deep", "[".repeat(90) + "]".repeat(90)],
  ["broken base64", `{"image": "AA*A"}`],
  ["too large an image", `{"image": "${"A".repeat(1_400_000)}"}`],
] as const) {
  test(`a large body that is ${what} is the same problem as a small one`, async () => {
    const { pieces, rules } = taskOf(text);
    const [inline, inThread] = await Promise.all([
      failureOf(startParser({ maxInlineBytes: text.length }).parse({ pieces, rules }, staying())),
      failureOf(startParser({ filename: workerFiles.json }).parse(taskOf(text), staying())),
    ]);
    if (!(inline instanceof Problem && inThread instanceof Problem)) throw new Error("no problem");
    expect([inThread.code, inThread.message]).toEqual([inline.code, inline.message]);
  });
}

test("small bodies need no thread", async () => {
  const parser = startParser({ filename: "/no/such/module.ts", maxInlineBytes: 100 });
  expect(await parse(parser, { a: 1 })).toEqual({ a: 1 });
});

test("a thread that nobody needs ends, and the next body finds another", async () => {
  const parser = startParser({ idleMs: 20 });
  const first = await parse(parser, { script: "who" });
  await until(async () => {
    await Bun.sleep(40);
    return (await parse(parser, { script: "who" })) !== first;
  });
});

test("bodies are parsed one after the other, and whoever left is left out", async () => {
  await using folder = await temporaryFolder();
  const at = (name: string) => join(folder.path, name);
  const parser = startParser();
  const leaving = new AbortController();
  const order: string[] = [];
  const told = async (name: string, work: Promise<unknown>) => {
    const outcome = await work.catch((error: unknown) => error);
    order.push(name);
    return outcome;
  };
  const first = told("first", parse(parser, { script: "wait", until: at("go"), begun: at("1") }));
  const second = told("second", parse(parser, { begun: at("2") }, leaving.signal));
  const third = told("third", parse(parser, { begun: at("3") }));
  await until(() => existsSync(at("1")));
  leaving.abort(new Error("gone"));
  expect(await second).toHaveProperty("message", "gone");
  writeFileSync(at("go"), "");
  expect(await first).toHaveProperty("script", "wait");
  expect(await third).toHaveProperty("begun");
  expect(order).toEqual(["second", "first", "third"]);
  expect(existsSync(at("2"))).toBe(false);
});

test("whoever leaves while his body is parsed waits no longer, and the next has his turn", async () => {
  await using folder = await temporaryFolder();
  const at = (name: string) => join(folder.path, name);
  const parser = startParser();
  const leaving = new AbortController();
  const script = { script: "wait", until: at("go"), begun: at("begun") };
  const first = parse(parser, script, leaving.signal);
  await until(() => existsSync(at("begun")));
  leaving.abort(new Error("gone"));
  expect(await failureOf(first)).toHaveProperty("message", "gone");
  const second = parse(parser, { a: 1 });
  writeFileSync(at("go"), "");
  expect(await second).toEqual({ a: 1 });
});

test("a body of somebody who has already left is not begun", async () => {
  const task = taskOf(`{"a":1}`);
  const left = AbortSignal.abort(new Error("gone"));
  expect(await failureOf(startParser().parse(task, left))).toHaveProperty("message", "gone");
  expect(task.pieces[0]?.buffer.detached).toBe(false);
});

test("a thread that hangs fails its body alone, and is replaced", async () => {
  const parser = startParser({ parseTimeoutMs: 300 });
  const hanging = failureOf(parse(parser, { script: "hang" }));
  expect(await hanging).toHaveProperty("name", "DeadlineError");
  expect(await parse(parser, { a: 1 })).toEqual({ a: 1 });
});

test("a body that waits too long is told that the service is at capacity", async () => {
  await using folder = await temporaryFolder();
  const until = join(folder.path, "go");
  const parser = startParser({ timeoutMs: 300 });
  const first = failureOf(parse(parser, { script: "wait", until }));
  const second = failureOf(parse(parser, { a: 1 }));
  expect(await second).toMatchObject({ code: "overloaded", retryAfterS: 5 });
  await first;
  writeFileSync(until, "");
});

test("a thread that dies fails its body alone", async () => {
  const parser = startParser();
  const [dead, alive] = await Promise.allSettled([
    parse(parser, { script: "exit" }),
    parse(parser, { a: 1 }),
  ]);
  expect(dead.status).toBe("rejected");
  expect(alive).toEqual({ status: "fulfilled", value: { a: 1 } });
});
