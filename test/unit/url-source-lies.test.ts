/** Hosts of images that lie about what they send, and send more than they are asked for. */
import { describe, expect, test } from "bun:test";
import { readFileSync, writeFileSync } from "node:fs";
import { brotliCompressSync, constants, deflateSync, gzipSync, zstdCompressSync } from "node:zlib";
import { parseFetchAllow } from "../../src/net/fetch-allow.ts";
import { createUrlSource } from "../../src/sources/url.ts";
import {
  type Answer,
  dripBody,
  dripHeaders,
  redirect,
  respond,
  startOrigin,
  staySilent,
} from "../support/origin.ts";

const maxImageBytes = 100_000;

function open(url: string, timeouts: { fetchTimeoutMs?: number; silenceTimeoutMs?: number } = {}) {
  const allow = parseFetchAllow(["127.0.0.1"]);
  const source = createUrlSource({ fetchTimeoutMs: 10_000, maxImageBytes, allow, ...timeouts });
  return source.open(url, new AbortController().signal).then(
    (bytes) => new TextDecoder().decode(bytes),
    (error: unknown) => error,
  );
}

/** Sends a text as it stands. */
function send(text: string): Answer {
  return (connection) => void connection.write(text);
}

/** Sends a text, then another again and again, as fast as it is taken. */
function flood(start: string, again: string): Answer {
  return (connection) => {
    const fill = (): void => {
      while (!connection.destroyed && connection.write(again));
    };
    connection.write(start);
    connection.on("drain", fill);
    fill();
  };
}

const ok = "HTTP/1.1 200 OK\r\n";
const chunked = `${ok}Transfer-Encoding: chunked\r\n\r\n`;
const earlyHints = "HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n";

describe("a host that says", () => {
  test.each([
    ["100 Continue first", `HTTP/1.1 100 Continue\r\n\r\n${ok}Content-Length: 2\r\n\r\nok`],
    ["103 Early Hints first", `${earlyHints}${ok}Content-Length: 2\r\n\r\nok`],
    ["less than it sends", `${ok}Content-Length: 2\r\n\r\nok, and more`],
    ["where to look next", `${ok}Refresh: 0; url=http://10.0.0.1/\r\nContent-Length: 2\r\n\r\nok`],
  ])("%s is heard out", async (_, text) => {
    await using origin = await startOrigin({ "/": send(text) });
    expect(await open(origin.url("/"))).toBe("ok");
    expect(origin.requests).toHaveLength(1);
  });

  test.each([
    ["two lengths", send(`${ok}Content-Length: 2\r\nContent-Length: 4\r\n\r\nokok`)],
    ["a length below zero", send(`${ok}Content-Length: -2\r\n\r\nok`)],
    ["a length beyond all numbers", send(`${ok}Content-Length: 99999999999999999999\r\n\r\nok`)],
    ["a chunk beyond all numbers", send(`${chunked}fffffffffffffffff\r\nok\r\n0\r\n\r\n`)],
    ["a chunk of no number", send(`${chunked}zz\r\nok\r\n0\r\n\r\n`)],
    ["101 Switching Protocols", send("HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\n\r\nok")],
    ["headers without end", flood(ok, `X-More: ${"x".repeat(4000)}\r\n`)],
    ["one header without end", flood(`${ok}X-More: `, "x".repeat(65_536))],
    ["twenty thousand headers", send(`${ok}${"X-More: x\r\n".repeat(20_000)}\r\n`)],
    ["HTTP/2 unasked", send("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n")],
  ])("%s is an origin-error that leaves no connection", async (_, answer) => {
    await using origin = await startOrigin({ "/": answer });
    expect(await open(origin.url("/"))).toMatchObject({ code: "origin-error" });
    await origin.allClosed();
  });

  test.each([
    ["103 Early Hints for ever", flood("", earlyHints.repeat(100))],
    ["trailers for ever", flood(`${chunked}2\r\nok\r\n0\r\n`, "X-More: x\r\n".repeat(1000))],
    ["a chunk's extension for ever", flood(`${chunked}2;`, "x".repeat(65_536))],
    ["a chunk's length, and stops", send(`${chunked}ffffff\r\nok`)],
  ])("%s is an origin-timeout that leaves no connection", async (_, answer) => {
    await using origin = await startOrigin({ "/": answer });
    const problem = await open(origin.url("/"), { fetchTimeoutMs: 200 });
    expect(problem).toMatchObject({ code: "origin-timeout" });
    await origin.allClosed();
  });
});

describe("a host that is silent for long", () => {
  test.each([
    ["before its answer", staySilent],
    ["in the middle of headers, a line now and then", dripHeaders],
    ["in the middle of its body", send(`${ok}Content-Length: 2\r\n\r\no`)],
    ["after a redirect", redirect("/silent")],
  ])("%s is given up before the whole time is over", async (_, answer) => {
    await using origin = await startOrigin({ "/": answer, "/silent": staySilent });
    const problem = await open(origin.url("/"), { silenceTimeoutMs: 100 });
    expect(problem).toMatchObject({ code: "origin-timeout" });
    expect(problem).toHaveProperty("message", expect.stringContaining("was silent for 100 ms"));
    await origin.allClosed();
  });

  test("but never quite has only the whole time", async () => {
    await using origin = await startOrigin({ "/": dripBody });
    const problem = await open(origin.url("/"), { fetchTimeoutMs: 1000, silenceTimeoutMs: 500 });
    expect(problem).toHaveProperty("message", expect.stringContaining("within 1000 ms"));
  });
});

test.each([
  ["gzip", gzipSync],
  ["deflate", deflateSync],
  ["br", quickBrotli],
  ["zstd", zstdCompressSync],
] as const)(
  "a bomb in %s unasked is cut off at the cap, not blown up first",
  async (name, pack) => {
    const body = pack(new Uint8Array(128 * 1024 * 1024));
    await using origin = await startOrigin({
      "/": respond({ headers: { "Content-Encoding": name }, body }),
    });
    // From here on the kernel counts the peak anew.
    writeFileSync("/proc/self/clear_refs", "5");
    const before = peakMiB();
    expect(await open(origin.url("/"))).toMatchObject({ code: "body-too-large" });
    expect(peakMiB() - before).toBeLessThan(64);
    await origin.allClosed();
  },
);

/** Brotli is slow unless told. */
function quickBrotli(bytes: Uint8Array): Buffer {
  return brotliCompressSync(bytes, { params: { [constants.BROTLI_PARAM_QUALITY]: 4 } });
}

/** Most memory that this process has held, in MiB. */
function peakMiB(): number {
  const status = readFileSync("/proc/self/status", "utf8");
  return Number(/VmHWM:\s+(\d+) kB/.exec(status)?.[1]) / 1024;
}

test("nothing is remembered of a host: neither cookies, nor where one came from, nor a login", async () => {
  await using origin = await startOrigin({
    "/": respond({ headers: { "Set-Cookie": "a=b", "WWW-Authenticate": "Basic" } }),
    "/away": redirect("/"),
  });
  for (const path of ["/", "/away", "/"]) await open(origin.url(path));
  const names = origin.requests.map(({ headers }) => [...headers.keys()].sort());
  const asked = ["accept", "accept-encoding", "host", "user-agent"];
  expect(names).toEqual([asked, asked, asked, asked]);
});
