/** Clients that take their time: cut at a deadline, whatever they drip, while others are served. */
import { afterAll, beforeAll, expect, test } from "bun:test";
import { readdir } from "node:fs/promises";
import { fileURLToPath } from "node:url";
import { limits } from "../../src/limits.ts";
import { expectProblem, postFile, send, until } from "../support/client.ts";
import { type Bytes, makeJpeg } from "../support/pictures.ts";
import { type ServiceProcess, startProcess } from "../support/process.ts";
import { connectRaw, headOf } from "../support/raw-client.ts";

const impatience = fileURLToPath(new URL("../support/impatient-limits.ts", import.meta.url));
const main = fileURLToPath(new URL("../../src/main.ts", import.meta.url));
const command = [process.execPath, "--preload", impatience, main, "serve"];
const query = "?model=clip-ViT-B-32";
/** ms between two dripped bytes. */
const dripMs = 100;
let service: ServiceProcess;
let served: { readonly url: URL };
let jpeg: Bytes;

beforeAll(async () => {
  jpeg = await makeJpeg();
  service = await startProcess({}, { command });
  served = { url: await service.url() };
  await until(async () => (await send(served, "/readyz")).status === 200);
}, 60_000);
afterAll(() => service[Symbol.asyncDispose]());

const json = headOf(`/vectorize-image-base64${query}`, {
  "Content-Type": "application/json",
  "Content-Length": 1_000,
});
const chunks = headOf(`/vectorize-image-base64${query}`, {
  "Content-Type": "application/json",
  "Transfer-Encoding": "chunked",
});
const form = headOf(`/vectorize-image-upload${query}`, {
  "Content-Type": "multipart/form-data; boundary=x",
  "Content-Length": 100_000,
});
const part = '--x\r\nContent-Disposition: form-data; name="file"; filename="a"\r\n\r\n';
const much = "x".repeat(900);

/** What is sent at once, what is dripped after it, and the answer before the end: nothing where no request came. */
const slowClients = {
  "says nothing": ["", "", /^$/],
  "drips a head": ["", `GET /livez HTTP/1.1\r\nHost: localhost\r\nX-A: ${much}`, /^$/],
  "stops in a head": ["GET /livez HTTP/1.1\r\nHost", "", /^$/],
  "drips JSON": [json, much, /^HTTP\/1\.1 400 .*4 s in all/s],
  "stops in JSON": [`${json}{`, "", /^HTTP\/1\.1 400 .*without a byte/s],
  "drips chunks": [chunks, "1\r\n{\r\n".repeat(100), /^HTTP\/1\.1 400 .*4 s in all/s],
  "drips a chunk's extension": [chunks, `1;${much}`, /^HTTP\/1\.1 400 .*without a byte/s],
  "drips a file": [form + part, much, /^HTTP\/1\.1 400 .*4 s in all/s],
  "stops in a file": [form + part, "", /^HTTP\/1\.1 400 .*without a byte/s],
  "drips a body that nobody reads": [
    headOf("/nothing", { "Content-Length": 1_000 }),
    much,
    /^HTTP\/1\.1 404 /,
  ],
} as const;

/** @returns all that the client was told, once it was cut. */
async function endureSlowClient(atOnce: string, dripped: string): Promise<string> {
  const client = await connectRaw(served);
  client.socket.removeAllListeners("error").on("error", () => {});
  client.write(atOnce);
  let at = 0;
  const timer = setInterval(() => {
    if (at < dripped.length) client.write(dripped.charAt(at));
    at += 1;
  }, dripMs);
  const told = await client.closed();
  clearInterval(timer);
  client.hangUp();
  return told;
}

test("two hundred slow clients are all cut, and others are served meanwhile", async () => {
  const kinds = Object.entries(slowClients);
  let isOver = false;
  const slow = Array.from({ length: 200 }, async (_, index) => {
    const [kind, [atOnce, dripped, answer]] = kinds[index % kinds.length] ?? ["", ["", "", /^$/]];
    const told = await endureSlowClient(atOnce, dripped);
    return answer.test(told) ? [] : [`a client that ${kind} was told ${told.slice(0, 500)}`];
  });
  const all = Promise.all(slow).finally(() => {
    isOver = true;
  });
  let answered = 0;
  while (!isOver) {
    expect((await postFile(served, jpeg, { query })).status).toBe(200);
    answered += 1;
  }
  expect((await all).flat()).toEqual([]);
  expect(answered).toBeGreaterThan(10);
  const kept = `${Bun.SHA256.hash(jpeg, "hex")}.jpg`;
  expect(await readdir(service.downloadsDir)).toEqual([kept]);
}, 60_000);

test("as many slow bodies as may arrive make others come back later, and no longer than the deadline", async () => {
  const [atOnce, dripped] = slowClients["drips JSON"];
  const slow = Array.from({ length: limits.maxArriving }, () => endureSlowClient(atOnce, dripped));
  const answers: Response[] = [];
  await until(async () => {
    const answer = await postFile(served, jpeg, { query });
    if (answer.status === 503) answers.push(answer);
    return answers.length > 0;
  });
  const [refused] = answers;
  if (refused === undefined) throw new Error("nobody was refused");
  expect(Number(refused.headers.get("retry-after"))).toBeGreaterThan(0);
  await expectProblem(refused, "overloaded");
  expect((await send(served, "/livez")).status).toBe(200);
  await Promise.all(slow);
  expect((await postFile(served, jpeg, { query })).status).toBe(200);
}, 60_000);
