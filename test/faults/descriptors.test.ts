/** No file descriptor left: clients that hold connections have taken them all. */
import { afterAll, beforeAll, expect, test } from "bun:test";
import { readdir } from "node:fs/promises";
import { connect, type Socket } from "node:net";
import { join } from "node:path";
import { postFile, send, until } from "../support/client.ts";
import { leftOut } from "../support/left-out.ts";
import { type Bytes, makeJpeg, makePng } from "../support/pictures.ts";
import { type ServiceProcess, startProcess } from "../support/process.ts";
import { repositoryRoot } from "../support/source-files.ts";

const descriptors = 120;
const main = join(repositoryRoot, "src/main.ts");
const clip = "?model=clip-ViT-B-32";

let jpeg: Bytes;
let largePng: Bytes;
const sockets: Socket[] = [];

beforeAll(async () => {
  jpeg = await makeJpeg();
  largePng = await makePng({ width: 600, height: 600, kind: "noise" });
});

afterAll(() => {
  for (const socket of sockets) socket.destroy();
});

/** A process that may open few files; undefined where none can be had, which is told. */
async function startPoor(): Promise<ServiceProcess | undefined> {
  if (Bun.which("prlimit") === null) {
    leftOut("a process with few descriptors: there is no prlimit");
    return undefined;
  }
  const limited = ["prlimit", `--nofile=${descriptors}:${descriptors}`];
  const service = await startProcess(
    {},
    { command: [...limited, process.execPath, main, "serve"] },
  );
  await service.logged(/"model ready"/);
  return service;
}

/** Connects as often as the service has descriptors, and more; each has asked once and is kept. */
async function holdConnections(url: URL): Promise<readonly Socket[]> {
  const held = Array.from({ length: descriptors + 50 }, () => {
    const socket = connect(Number(url.port), url.hostname).on("error", () => {});
    socket.write("GET /livez HTTP/1.1\r\nHost: localhost\r\n\r\n");
    return socket;
  });
  sockets.push(...held);
  return held;
}

test("idle connections give way, the log says so once, and everybody is served again", async () => {
  await using service = await startPoor();
  if (service === undefined) return;
  const url = await service.url();
  await holdConnections(url);
  // Else they would go by themselves, only later: `limits.idleTimeoutS`.
  const closed = await service.logged(/"message":"no file descriptor is left.*"closed":(\d+)/);
  expect(Number(closed)).toBeGreaterThan(0);
  await service.logged(/"message":"there are file descriptors again"/);
  expect((await postFile({ url }, jpeg, { query: clip })).status).toBe(200);
  expect((await postFile({ url }, largePng, { query: clip })).status).toBe(200);
  expect(service.log().match(/no file descriptor is left/g)).toHaveLength(1);
  service.signal("SIGTERM");
  expect(await service.exited).toBe(0);
});

test("silent connections take no answer from those that are open, and nothing half-written stays", async () => {
  await using service = await startPoor();
  if (service === undefined) return;
  const url = await service.url();
  // Bun's client keeps its connection: the next requests come on this one.
  expect((await send({ url }, "/livez")).status).toBe(200);
  const silent = Array.from({ length: descriptors + 50 }, () =>
    connect(Number(url.port), url.hostname).on("error", () => {}),
  );
  sockets.push(...silent);
  const small = { url };
  await until(async () => (await readdir(`/proc/${service.pid}/fd`)).length === descriptors);
  expect((await postFile(small, jpeg, { query: clip })).status).toBe(507);
  expect((await send({ url }, "/livez")).status).toBe(200);
  for (const socket of silent) socket.destroy();
  expect((await postFile({ url }, largePng, { query: clip })).status).toBe(200);
  expect(await readdir(service.downloadsDir)).toHaveLength(1);
});
