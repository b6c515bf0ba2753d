/** Upgrades: a second instance takes the port over from the first. */
import { beforeAll, expect, test } from "bun:test";
import { join } from "node:path";
import { until } from "../support/client.ts";
import { scrape } from "../support/metrics.ts";
import { listenForNotices } from "../support/notify-socket.ts";
import { makePng } from "../support/pictures.ts";
import { runMain, type ServiceProcess, startProcess } from "../support/process.ts";
import { connectRaw } from "../support/raw-client.ts";
import { repositoryRoot } from "../support/source-files.ts";
import {
  getRequest,
  type StreamClient,
  streamRequests,
  uploadRequest,
} from "../support/stream-of-requests.ts";

const main = join(repositoryRoot, "src/main.ts");
const withTakeover = { command: [process.execPath, main, "serve", "--takeover"] };

/** Fresh and kept connections, small requests and inferences. */
let clients: readonly StreamClient[];

beforeAll(async () => {
  const get = getRequest("/livez");
  const upload = uploadRequest("/vectorize-image-upload?model=clip-ViT-B-32", await makePng());
  clients = [get, get, upload, upload].flatMap((request) => [
    { request, keepsConnection: true },
    { request, keepsConnection: false },
  ]);
});

type Environment = Readonly<Record<string, string>>;

/** Starts an instance, and waits until its model is ready. */
async function startReady(environment: Environment = {}): Promise<ServiceProcess> {
  const service = await startProcess({ LOG_LEVEL: "debug", ...environment });
  await service.logged(/"model ready"/);
  return service;
}

/** Starts a second instance for the port of a first. */
async function startTakeover(port: string, environment: Environment = {}): Promise<ServiceProcess> {
  return await startProcess({ LOG_LEVEL: "debug", ...environment, PORT: port }, withTakeover);
}

/** How many requests of the stream an instance has answered. */
function countServed(service: ServiceProcess): number {
  return service.log().match(/"request_id":"stream-/g)?.length ?? 0;
}

/** A port of loopback that nobody has. */
async function freePort(): Promise<string> {
  const server = Bun.serve({ hostname: "127.0.0.1", port: 0, fetch: () => new Response() });
  const { port } = server.url;
  await server.stop(true);
  return port;
}

test("a takeover loses no request of a steady stream, and the old instance ends with 0", async () => {
  await using old = await startReady();
  const url = await old.url();
  await using stream = streamRequests(url, clients);
  await old.logged(/"request_id":"stream-/);
  await using fresh = await startTakeover(url.port);
  expect(await fresh.url()).toEqual(url);
  expect(await old.exited).toBe(0);
  const answered = stream.answered();
  while (stream.answered() < answered + 100) await Bun.sleep(5);
  const tally = await stream.stop();
  expect(tally.failures).toEqual([]);
  expect(countServed(old)).toBeGreaterThan(0);
  expect(countServed(fresh)).toBeGreaterThan(100);
  expect(countServed(old) + countServed(fresh)).toBe(tally.answered);
  expect(old.log()).not.toMatch(/"level":"(warn|error)"(?!.*synthetic)/);
});

test("the address of the metrics goes over with the port", async () => {
  const METRICS_LISTEN = `127.0.0.1:${await freePort()}`;
  await using old = await startReady({ METRICS_LISTEN });
  const { port } = await old.url();
  const there = { url: new URL(`http://${METRICS_LISTEN}`) };
  const startOf = async () => (await scrape(there)).sum("process_start_time_seconds");
  const oldStart = await startOf();
  await using fresh = await startTakeover(port, { METRICS_LISTEN });
  await fresh.url();
  expect(await old.exited).toBe(0);
  await until(() =>
    startOf().then(
      (start) => start > oldStart,
      () => false,
    ),
  );
  expect(fresh.log()).not.toMatch(/"level":"(warn|error)"(?!.*synthetic)/);
});

test("an instance upgrades itself at SIGUSR2, and names its successor to the service manager", async () => {
  using manager = listenForNotices();
  const environment = { PORT: await freePort(), NOTIFY_SOCKET: manager.address };
  await using old = await startReady(environment);
  const url = await old.url();
  await using stream = streamRequests(url, clients);
  process.kill(old.pid, "SIGUSR2");
  const successor = Number(await old.logged(/a new instance starts","pid":(\d+)/));
  try {
    await manager.told(new RegExp(`^MAINPID=${successor}$`));
    await old.logged(/"stopped","code":0/);
    expect(await stream.stop()).toMatchObject({ failures: [] });
    expect(manager.messages().join("\n")).not.toContain("STOPPING=1");
    expect((await fetch(new URL("/readyz", url))).status).toBe(200);
  } finally {
    process.kill(successor, "SIGTERM");
  }
  expect(await old.exited).toBe(0);
});

test("an instance whose successor cannot start goes on", async () => {
  await using old = await startReady({ PORT: await freePort() });
  const url = await old.url();
  using other = Bun.serve({
    hostname: "0.0.0.0",
    port: url.port,
    reusePort: true,
    fetch: () => new Response(),
  });
  process.kill(old.pid, "SIGUSR2");
  await old.logged(/"the new instance has ended: this one goes on","code":1/);
  await other.stop(true);
  expect((await fetch(new URL("/livez", url))).status).toBe(200);
});

test("an instance on whatever port was free does not upgrade itself", async () => {
  await using old = await startReady();
  process.kill(old.pid, "SIGUSR2");
  await old.logged(/"PORT is 0: give a port, so that a new instance can take it over"/);
  expect((await fetch(new URL("/livez", await old.url()))).status).toBe(200);
});

test("an instance goes on if the one that takes over dies", async () => {
  await using old = await startReady();
  const url = await old.url();
  // Holds the old one until the new one is gone.
  const idle = await connectRaw({ url });
  const fresh = await startTakeover(url.port);
  await old.logged(/"handing over/);
  await fresh[Symbol.asyncDispose]();
  await old.logged(/"the other instance is gone: this one goes on"/);
  const answer = await fetch(new URL("/livez", url));
  expect([answer.status, answer.headers.get("connection")]).toEqual([200, null]);
  idle.hangUp();
});

test("a signal to hand over is nothing while nobody else has the port", async () => {
  await using service = await startReady();
  process.kill(service.pid, "SIGWINCH");
  const idle = await connectRaw({ url: await service.url() });
  idle.write("GET /livez HTTP/1.1\r\nHost: localhost\r\n\r\n");
  expect(await idle.received(/alive/)).not.toMatch(/connection: close/i);
  service.signal("SIGTERM");
  expect(await service.exited).toBe(0);
  expect(service.log()).not.toContain("handing over");
});

test("where nobody runs, --takeover just starts", async () => {
  const port = await freePort();
  await using service = await startTakeover(port);
  expect((await service.url()).port).toBe(port);
  expect(service.log()).toContain("there is nothing to take over");
  await service.logged(/"model ready"/);
});

test("an instance that would not serve what the old one serves does not take over", async () => {
  await using old = await startReady();
  const url = await old.url();
  const nowhere = { CLIP_WEIGHTS: "openai", MODELS_DIR: join(old.downloadsDir, "none") };
  await using fresh = await startTakeover(url.port, nowhere);
  expect(await fresh.exited).toBe(1);
  expect(fresh.log()).toContain("serves clip-ViT-B-32 and this one would not");
  expect((await fetch(new URL("/livez", url))).status).toBe(200);
  expect(old.log()).not.toContain("handing over");
});

test("a signal ends an instance that is about to take over, and the old one goes on", async () => {
  using systemd = listenForNotices();
  await using old = await startReady();
  const url = await old.url();
  await using fresh = await startTakeover(url.port, { NOTIFY_SOCKET: systemd.address });
  await fresh.logged(/"taking over"/);
  fresh.signal("SIGTERM");
  expect(await fresh.exited).toBe(0);
  expect((await fetch(new URL("/livez", url))).status).toBe(200);
  // It neither takes the port on its way out, nor speaks for the service, which goes on without it.
  expect(old.log()).not.toContain("handing over");
  expect(systemd.messages()).toEqual([]);
});

test("an instance that stops while it hands over, or is told to hand over while it stops, complains of nothing", async () => {
  await using old = await startReady();
  await using fresh = await startTakeover((await old.url()).port);
  await old.logged(/"handing over/);
  old.signal("SIGTERM");
  process.kill(old.pid, "SIGWINCH");
  expect(await old.exited).toBe(0);
  expect(old.log()).not.toContain('"level":"error"');
  for (const line of old.log().trim().split("\n")) expect(() => JSON.parse(line)).not.toThrow();
  expect((await fetch(new URL("/livez", await fresh.url()))).status).toBe(200);
});

test("of two that start at once without --takeover, one serves", async () => {
  const PORT = await freePort();
  await using one = await startProcess({ PORT });
  await using two = await startProcess({ PORT });
  const ended = await Promise.race(
    [one, two].map(async (service) => ({ service, code: await service.exited })),
  );
  expect(ended.code).toBe(1);
  expect(ended.service.log()).toContain("the port is taken");
  expect(ended.service.log()).toContain("--takeover");
  await (ended.service === one ? two : one).url();
});

test("another program's port is not taken over", async () => {
  using other = Bun.serve({
    hostname: "127.0.0.1",
    port: 0,
    reusePort: true,
    fetch: () => new Response("hello"),
  });
  const environment = { PORT: other.url.port };
  const { code, errors } = await runMain(["serve", "--takeover"], environment);
  expect(code).toBe(1);
  expect(errors).toContain("does not answer like imagesvc");
});

test("a port that is not shared is not taken over", async () => {
  using other = Bun.serve({
    hostname: "127.0.0.1",
    port: 0,
    reusePort: false,
    fetch: () => Response.json({ models: [] }),
  });
  const environment = { PORT: other.url.port };
  const { code, errors } = await runMain(["serve", "--takeover"], environment);
  expect(code).toBe(1);
  expect(errors).toContain("does not share it");
});

test("a takeover on another HOST is refused", async () => {
  await using old = await startReady();
  const { port } = await old.url();
  const { code, errors } = await runMain(["serve", "--takeover"], { PORT: port, HOST: "0.0.0.0" });
  expect(code).toBe(1);
  expect(errors).toContain("on another HOST: give the same");
});
