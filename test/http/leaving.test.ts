/** Clients that hang up half-way: no file, no job and no place stays behind. */
import { afterAll, beforeAll, beforeEach, expect, test } from "bun:test";
import { readdir, rm } from "node:fs/promises";
import { join } from "node:path";
import { base64Of, postFile, until } from "../support/client.ts";
import { scrape } from "../support/metrics.ts";
import { misbehave, type NvidiaFake, startNvidiaFake } from "../support/nvidia-fake.ts";
import { type Origin, startOrigin, staySilent } from "../support/origin.ts";
import { type Bytes, makeJpeg, makePng } from "../support/pictures.ts";
import { connectRaw, headOf } from "../support/raw-client.ts";
import { reachingFakes, startService, type TestService } from "../support/service.ts";

let service: TestService;
let nvidia: NvidiaFake;
let origin: Origin;
let jpeg: Bytes;
let largePng: Bytes;

beforeAll(async () => {
  jpeg = await makeJpeg();
  largePng = await makePng({ width: 1024, height: 1024, kind: "noise" });
  nvidia = startNvidiaFake();
  origin = await startOrigin({ "/silent": staySilent });
  service = await startService({
    QUEUE_LIMIT: "1",
    ...reachingFakes(nvidia),
  });
});

beforeEach(async () => {
  for (const name of await readdir(service.downloadsDir)) {
    await rm(join(service.downloadsDir, name));
  }
});

afterAll(async () => {
  await service.stop();
  await origin[Symbol.asyncDispose]();
  await nvidia.stop();
});

interface LogLine {
  readonly message: string;
  readonly request_id?: string;
  readonly left?: boolean;
  readonly level: string;
  readonly code?: string;
  readonly status?: number;
}

/** The log line of a request that was sent under this id. */
async function logLineOf(id: string): Promise<LogLine> {
  let found: LogLine | undefined;
  await until(() => {
    const lines: readonly LogLine[] = service.log.map((line) => JSON.parse(line));
    found = lines.find(({ request_id }) => request_id === id);
    return found !== undefined;
  });
  if (found === undefined) throw new Error("no log line");
  return found;
}

/** Nothing of the request is left: its only place is free again, and no file remains. */
async function expectNothingLeft(id: string): Promise<void> {
  const line = await logLineOf(id);
  expect(line).toMatchObject({ level: "info", left: true });
  expect(line).not.toHaveProperty("code");
  expect(line).not.toHaveProperty("status");
  await until(async () => (await readdir(service.downloadsDir)).length === 0);
  await until(async () => {
    const { status } = await postFile(service, jpeg, { query: "?model=clip-ViT-B-32" });
    return status === 200;
  });
  expect(await readdir(service.downloadsDir)).toEqual([`${Bun.SHA256.hash(jpeg, "hex")}.jpg`]);
}

const multipartHead =
  '--x\r\nContent-Disposition: form-data; name="file"; filename="a.png"\r\n\r\n';

function uploadHead(id: string, bytes: Bytes, query: string): string {
  const total = multipartHead.length + bytes.length + "\r\n--x--\r\n".length;
  const headers = {
    "Content-Type": "multipart/form-data; boundary=x",
    "Content-Length": total,
    "X-Request-Id": id,
  };
  return headOf(`/vectorize-image-upload${query}`, headers) + multipartHead;
}

test("half-way through a small upload", async () => {
  const client = await connectRaw(service);
  client.write(uploadHead("small", jpeg, "?model=clip-ViT-B-32"));
  client.write(jpeg.subarray(0, jpeg.length >> 1));
  await Bun.sleep(30);
  client.hangUp();
  await expectNothingLeft("small");
});

test("half-way through a large upload, whose file is already on disk", async () => {
  const client = await connectRaw(service);
  client.write(uploadHead("large", largePng, "?model=clip-ViT-B-32"));
  client.write(largePng.subarray(0, largePng.length >> 1));
  await until(async () =>
    (await readdir(service.downloadsDir)).some((name) => name.startsWith(".incoming-")),
  );
  client.hangUp();
  await expectNothingLeft("large");
});

test("half-way through a JSON body", async () => {
  const client = await connectRaw(service);
  const headers = { "Content-Type": "application/json", "Content-Length": 5000 };
  client.write(headOf("/vectorize-image-base64", { ...headers, "X-Request-Id": "json" }));
  client.write('{"image_base64":"AAAA');
  await Bun.sleep(30);
  client.hangUp();
  await expectNothingLeft("json");
});

test("while its image URL is being fetched, which ends the fetch too", async () => {
  const client = await connectRaw(service);
  const body = JSON.stringify({ image_url: origin.url("/silent") });
  const headers = { "Content-Type": "application/json", "Content-Length": body.length };
  client.write(headOf("/vectorize-image", { ...headers, "X-Request-Id": "fetch" }));
  client.write(body);
  await until(() => origin.openConnections() === 1);
  client.hangUp();
  await origin.allClosed();
  await expectNothingLeft("fetch");
});

test("while the hosted model is asked, which ends that call too", async () => {
  const before = nvidia.requests.length;
  nvidia.next(misbehave.slow);
  const client = await connectRaw(service);
  const body = JSON.stringify({ image_base64: base64Of(jpeg) });
  const headers = { "Content-Type": "application/json", "Content-Length": body.length };
  client.write(headOf("/vectorize-image-base64", { ...headers, "X-Request-Id": "upstream" }));
  client.write(body);
  await until(() => nvidia.requests.length > before);
  client.hangUp();
  await until(() => nvidia.requests[before]?.signal.aborted === true);
  await expectNothingLeft("upstream");
});

test("during inference and while waiting for it", async () => {
  await using busy = await startService({ QUEUE_LIMIT: "6" });
  const clients = await Promise.all(
    Array.from({ length: 6 }, async (_, index) => {
      const client = await connectRaw(busy);
      client.write(uploadHead(`busy-${index}`, largePng, "?model=clip-ViT-B-32"));
      client.write(largePng);
      client.write("\r\n--x--\r\n");
      return client;
    }),
  );
  await until(async () => {
    const names = await readdir(busy.downloadsDir);
    return names.filter((name) => name.startsWith(".incoming-")).length === 6;
  });
  await Bun.sleep(30);
  for (const client of clients) client.hangUp();
  await until(() => busy.log.filter((line) => line.includes('"left":true')).length === 6);
  await until(async () => (await readdir(busy.downloadsDir)).length === 0);
  // A file is gone a moment before its request has closed it and given its place back.
  await until(async () => (await scrape(busy)).sum("imagesvc_requests_inside") === 0);
  const statuses = await Promise.all(
    Array.from({ length: 6 }, async () => {
      return (await postFile(busy, jpeg, { query: "?model=clip-ViT-B-32" })).status;
    }),
  );
  expect(statuses).toEqual([200, 200, 200, 200, 200, 200]);
  expect(busy.lost).toEqual([]);
  expect(busy.log.filter((line) => line.includes('"level":"error"'))).toEqual([]);
});
