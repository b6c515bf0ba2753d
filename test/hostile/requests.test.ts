/** Requests that no honest client sends: all are refused by their sender's own fault, and nothing stays behind. */
import { afterAll, afterEach, beforeAll, expect, test } from "bun:test";
import { readdir } from "node:fs/promises";
import { answerOf, expectProblem, postFile, postJson, send } from "../support/client.ts";
import { ascii, type Bytes, concat, makeJpeg } from "../support/pictures.ts";
import { connectRaw, headOf } from "../support/raw-client.ts";
import { startService, type TestService } from "../support/service.ts";

let service: TestService;
let jpeg: Bytes;

beforeAll(async () => {
  service = await startService();
  jpeg = await makeJpeg();
});
afterAll(() => service.stop());

afterEach(async () => {
  expect((await send(service, "/livez")).status).toBe(200);
  for (const name of await readdir(service.downloadsDir)) {
    expect(name).toBe(`${Bun.SHA256.hash(jpeg, "hex")}.jpg`);
  }
});

const clip = "?model=clip-ViT-B-32";
const upload = `/vectorize-image-upload${clip}`;
const jsonPaths = ["/vectorize-image", "/vectorize-image-base64", "/embed-text", "/similarity"];

for (const path of jsonPaths) {
  for (const [what, deep] of [
    ["lists", `${"[".repeat(5_000)}${"]".repeat(5_000)}`],
    ["objects", `${'{"a":'.repeat(4_000)}1${"}".repeat(4_000)}`],
    ["lists and objects in turn", `${'[{"a":'.repeat(2_000)}1${"}]".repeat(2_000)}`],
  ] as const) {
    test(`${path} refuses thousands of ${what}, one inside the other, in a field that nobody reads`, async () => {
      const response = await postJson(service, `${path}${clip}`, `{"other":${deep}}`);
      await expectProblem(response, "malformed-body");
    });
  }

  test(`${path} refuses 100000 lists, one inside the other`, async () => {
    const deep = `${"[".repeat(100_000)}${"]".repeat(100_000)}`;
    await expectProblem(await postJson(service, `${path}${clip}`, deep), "malformed-body");
  });

  test(`${path} takes nobody's prototype from a body`, async () => {
    const body = '{"__proto__":{"image_url":"http://x.example/"},"constructor":{"prototype":{}}}';
    await expectProblem(await postJson(service, `${path}${clip}`, body), "validation-failed");
  });
}

test("a form of more fields than anybody needs is refused by its size, or by their number", async () => {
  const headers = { "Content-Type": "application/x-www-form-urlencoded" };
  const post = (body: string) => send(service, "/upload", { method: "POST", headers, body });
  await expectProblem(await post("a=1&".repeat(100_000)), "body-too-large");
  await expectProblem(await post("a=1&".repeat(60_000)), "malformed-body");
  await expectProblem(await post("%".repeat(200_000)), "validation-failed");
});

/** One part of a form, with whatever head it has. */
function partOf(head: string, body: Uint8Array = jpeg): Bytes {
  return concat(ascii(`--x\r\n${head}\r\n\r\n`), body, ascii("\r\n"));
}

function postForm(parts: readonly Uint8Array[], boundary = "x", end = "--x--\r\n") {
  const headers = { "Content-Type": `multipart/form-data; boundary=${boundary}` };
  return send(service, upload, { method: "POST", headers, body: concat(...parts, ascii(end)) });
}

const fileHead = (name: string) =>
  `Content-Disposition: form-data; name="file"; filename="${name}"`;

for (const [what, name] of [
  ["a NUL", "a\0b.jpg"],
  ["a path up", "../../../../etc/passwd"],
  ["a path of Windows", "..\\..\\windows\\system32"],
  ["an absolute path", "/etc/cron.d/x"],
  ["control characters", "a\u0001\u001b[31mb\u007f"],
  ["15 kB", "n".repeat(15_000)],
  ["half a character", "\ud800"],
  ["nothing", ""],
  ["dots", ".."],
] as const) {
  test(`a file name of ${what} is only echoed, without what cannot be printed`, async () => {
    const response = await postForm([partOf(fileHead(name))]);
    const { original_filename: echoed } = await answerOf(response);
    expect(echoed).not.toMatch(/\p{Cc}/u);
    expect(Array.from(echoed).length).toBeLessThanOrEqual(255);
  });
}

for (const [what, head] of [
  ["a name of 100 kB", fileHead("n".repeat(100_000))],
  ["a head of a hundred lines", `${fileHead("a")}${"\r\nX-A: b".repeat(100)}`],
  ["a head of 100 kB", `${fileHead("a")}\r\nX-A: ${"b".repeat(100_000)}`],
  ["a line break in its name", fileHead("a\r\nContent-Type: text/html\r\n\r\nb")],
  ["a field name of 10 kB", `Content-Disposition: form-data; name="${"f".repeat(10_000)}"`],
  ["no name", "Content-Disposition: form-data"],
  ["no head", "X-A: b"],
  ["a head without a colon", "Content-Disposition"],
  ["a name in a character set that does not exist", `${fileHead("a")}; filename*=no-such-set''%ff`],
  ["a name of broken escapes", `${fileHead("a")}; filename*=UTF-8''%ff%fe%zz`],
  ["a transfer encoding", `${fileHead("a")}\r\nContent-Transfer-Encoding: base64`],
] as const) {
  test(`a part with ${what} is taken or refused, and no bug`, async () => {
    const response = await postForm([partOf(head)]);
    expect([200, 400, 413, 415, 422]).toContain(response.status);
    await response.bytes();
  });
}

test("the 33rd part is one too many, whether it is a field or a file", async () => {
  const field = (index: number) =>
    partOf(`Content-Disposition: form-data; name="f${index}"`, ascii("x"));
  const file = partOf(fileHead("a.jpg"));
  const fields = Array.from({ length: 31 }, (_, index) => field(index));
  expect((await postForm([...fields, file])).status).toBe(200);
  await expectProblem(await postForm([...fields, file, field(99)]), "malformed-body");
  await expectProblem(await postForm([...fields, file, file]), "malformed-body");
});

test("a form inside a form is a file like any other, so no picture", async () => {
  const inner = concat(ascii(`--y\r\n${fileHead("b.jpg")}\r\n\r\n`), jpeg, ascii("\r\n--y--\r\n"));
  const head = `${fileHead("a.jpg")}\r\nContent-Type: multipart/mixed; boundary=y`;
  await expectProblem(await postForm([partOf(head, inner)]), "unsupported-image");
});

test("a form without its last boundary is refused, and so is one that only has text before the first", async () => {
  await expectProblem(await postForm([partOf(fileHead("a.jpg"))], "x", ""), "malformed-body");
  const prose = new Uint8Array(1_000_000).fill(45);
  await expectProblem(await postForm([prose], "x", ""), "malformed-body");
});

test("a boundary of 10 kB is taken or refused, one of 1 MB is refused before anything is read", async () => {
  const long = "b".repeat(10_000);
  const parts = [ascii(`--${long}\r\n${fileHead("a.jpg")}\r\n\r\n`), jpeg];
  const response = await postForm(parts, long, `\r\n--${long}--\r\n`);
  expect([200, 400]).toContain(response.status);
  const client = await connectRaw(service);
  const type = `multipart/form-data; boundary=${"b".repeat(1_000_000)}`;
  client.write(headOf(upload, { "Content-Type": type, "Content-Length": 10 }));
  expect(await client.closed()).toStartWith("HTTP/1.1 431 ");
});

const get = "GET /livez HTTP/1.1\r\nHost: localhost\r\n";
const post = (headers: string, body: string) =>
  `POST /vectorize-image${clip} HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n${headers}\r\n${body}`;
const chunked = "Transfer-Encoding: chunked\r\n";

/** What the server itself refuses, before there is a request. */
for (const [what, request, status] of [
  ["a header of 17 kB", `${get}X-A: ${"a".repeat(17_000)}\r\n\r\n`, 431],
  ["a header that does not end", `${get}X-A: ${"a".repeat(200_000)}`, 431],
  [
    "a target that only proxies take",
    "CONNECT 127.0.0.1:80 HTTP/1.1\r\nHost: localhost\r\n\r\n",
    405,
  ],
  ["250 headers", `${get}${"X-A: b\r\n".repeat(250)}\r\n`, 431],
  ["a URL of 17 kB", `GET /${"a".repeat(17_000)} HTTP/1.1\r\nHost: localhost\r\n\r\n`, 431],
  ["no Host", "GET /livez HTTP/1.1\r\n\r\n", 400],
  ["both length and chunks", post(`Content-Length: 2\r\n${chunked}`, "2\r\n{}\r\n0\r\n\r\n"), 400],
  ["two lengths", post("Content-Length: 2\r\nContent-Length: 3\r\n", "{} "), 400],
  ["a length below zero", post("Content-Length: -2\r\n", "{}"), 400],
  ["a length that no number holds", post("Content-Length: 99999999999999999999\r\n", "{}"), 400],
  ["an unknown transfer encoding", post("Transfer-Encoding: gzip\r\n", "{}"), 400],
  ["a transfer encoding in disguise", post("Transfer-Encoding : chunked\r\n", "{}"), 400],
  ["a chunk whose length is no number", post(chunked, "zz\r\n{}\r\n0\r\n\r\n"), 400],
  ["a chunk below zero", post(chunked, "-2\r\n{}\r\n0\r\n\r\n"), 400],
  ["a chunk of 2⁶⁴ bytes", post(chunked, "ffffffffffffffffff\r\n{}\r\n0\r\n\r\n"), 400],
  ["a chunk that is longer than it says", post(chunked, "1\r\n{}\r\n0\r\n\r\n"), 400],
  ["a chunk with 100 kB of extension", post(chunked, `2;${"x".repeat(100_000)}\r\n{}\r\n`), 413],
  ["a NUL in a header", `${get}X-A: a\0b\r\n\r\n`, 400],
  ["a header over two lines", `${get}X-A: a\r\n b\r\n\r\n`, 400],
  ["the first bytes of TLS", "\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\r\n\r\n", 400],
] as const) {
  test(`a request with ${what} is refused with ${status}, and its connection ends`, async () => {
    const client = await connectRaw(service);
    client.socket.removeAllListeners("error").on("error", () => {});
    client.write(request);
    expect(await client.closed()).toStartWith(`HTTP/1.1 ${status} `);
  });
}

test("what follows a body is a request of its own, not a part of the last", async () => {
  const client = await connectRaw(service);
  client.write(`${post("Content-Length: 2\r\n", "{}")}${get}\r\n`);
  const answers = await client.received(/"alive"/);
  expect(answers.match(/HTTP\/1\.1 \d+/g)).toEqual(["HTTP/1.1 422", "HTTP/1.1 200"]);
  client.hangUp();
});

for (const [what, headers, body] of [
  ["length", "Content-Length: 2000\r\n", "{}"],
  ["chunks", chunked, "2\r\n{}\r\n"],
] as const) {
  test(`a body that ends before its ${what} does costs nobody else anything`, async () => {
    const client = await connectRaw(service);
    client.write(post(headers, body));
    client.socket.end();
    await client.closed();
    expect((await postFile(service, jpeg, { query: clip })).status).toBe(200);
  });
}

test("none of this was a bug", () => {
  expect(service.log.filter((line) => line.includes("internal-error"))).toEqual([]);
  expect(service.lost).toEqual([]);
});
