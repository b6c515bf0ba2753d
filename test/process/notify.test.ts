/** A process that a service manager watches: what it is told, and what becomes of it when something hangs. */
import { afterAll, beforeAll, expect, test } from "bun:test";
import { readFile } from "node:fs/promises";
import type { Socket } from "node:net";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { expectProblem, postUrlencoded, until } from "../support/client.ts";
import { listenForNotices, type NotifySocketFake } from "../support/notify-socket.ts";
import { type Origin, respond, startOrigin } from "../support/origin.ts";
import { startProcess } from "../support/process.ts";

let origin: Origin;
/** Connections that asked for `/held` and wait for their answer. */
const held: Socket[] = [];

function respondWith(text: string) {
  return respond({ body: new TextEncoder().encode(text) });
}

beforeAll(async () => {
  const scripts = ["hang", "hang-idle", "exit-idle", "picture"];
  origin = await startOrigin({
    "/held": (connection) => void held.push(connection),
    ...Object.fromEntries(scripts.map((script) => [`/${script}`, respondWith(script)])),
  });
});

afterAll(() => origin[Symbol.asyncDispose]());

/** Starts the service under a service manager. */
function startManaged(
  systemd: NotifySocketFake,
  environment: Readonly<Record<string, string>> = {},
) {
  return startProcess({ NOTIFY_SOCKET: systemd.address, ...environment });
}

test("it is ready once it listens, and its status follows the model; a stop is told too", async () => {
  using systemd = listenForNotices();
  await using service = await startManaged(systemd);
  await systemd.told(/^READY=1/);
  const { origin: address } = await service.url();
  await systemd.told(/^STATUS=.*clip-ViT-B-32@synthetic: ready/);
  const [first = "", second, ...rest] = systemd.messages();
  expect(first).toStartWith(`STATUS=listening on ${address}/; clip-ViT-B-32@synthetic: loading: `);
  expect(second).toStartWith("READY=1");
  expect(rest.every((message) => message.startsWith("STATUS="))).toBe(true);
  service.signal("SIGTERM");
  expect(await service.exited).toBe(0);
  expect(systemd.messages().slice(-2)).toEqual(["STOPPING=1", "STATUS=stopping: SIGTERM"]);
});

test("without weights it is ready all the same, and its status says what is missing", async () => {
  using systemd = listenForNotices();
  const missing = { CLIP_WEIGHTS: "openai", MODELS_DIR: "/nonexistent", HF_HUB_OFFLINE: "true" };
  await using _service = await startManaged(systemd, missing);
  await systemd.told(/^READY=1/);
  expect(await systemd.told(/clip-ViT-B-32: unavailable/)).toMatch(
    /^STATUS=listening on http:\/\/127.0.0.1:\d+\/; clip-ViT-B-32: unavailable: \S+/,
  );
});

test("a process that cannot listen says why, and is never ready", async () => {
  using systemd = listenForNotices();
  await using first = await startProcess();
  const { port } = await first.url();
  await using second = await startManaged(systemd, { PORT: port });
  expect(await second.exited).toBe(1);
  expect(systemd.messages()).toEqual([expect.stringMatching(/^STATUS=the port is taken/)]);
});

test("a reload is told from its begin to its end", async () => {
  using systemd = listenForNotices();
  await using service = await startManaged(systemd);
  const ready = await systemd.told(/^READY=1/);
  await systemd.told(/^STATUS=.*clip-ViT-B-32@synthetic: ready/);
  const before = systemd.messages().length;
  service.signal("SIGHUP");
  await until(() => systemd.messages().length === before + 2);
  expect(systemd.messages().slice(before)).toEqual([
    expect.stringMatching(/^RELOADING=1\nMONOTONIC_USEC=\d+$/),
    ready,
  ]);
});

/** Whether the process is stopped, as `SIGSTOP` does it. */
async function isStopped(pid: number): Promise<boolean> {
  return /^State:\s+T/m.test(await readFile(`/proc/${pid}/status`, "utf8"));
}

test("the watchdog hears of a process as long as its event loop turns", async () => {
  using systemd = listenForNotices();
  await using service = await startManaged(systemd, { WATCHDOG_USEC: "60000" });
  const pings = () => systemd.messages().filter((message) => message === "WATCHDOG=1").length;
  await until(() => pings() > 3);
  service.signal("SIGSTOP");
  await until(() => isStopped(service.pid));
  const before = pings();
  await Bun.sleep(200);
  expect(pings()).toBe(before);
  service.signal("SIGCONT");
  await until(() => pings() > before);
});

test("the watchdog of another process hears nothing", async () => {
  using systemd = listenForNotices();
  const watchdog = { WATCHDOG_USEC: "3000", WATCHDOG_PID: "1" };
  await using service = await startManaged(systemd, watchdog);
  await systemd.told(/^READY=1/);
  service.signal("SIGTERM");
  await service.exited;
  expect(systemd.messages()).not.toContain("WATCHDOG=1");
});

/** A process whose workers do what their images say, and which soon takes a silent one for hung. */
async function startHanging(systemd: NotifySocketFake) {
  const script = fileURLToPath(new URL("../support/hanging-service.ts", import.meta.url));
  const service = await startProcess(
    { NOTIFY_SOCKET: systemd.address, WORKERS: "2", FETCH_ALLOW: "127.0.0.1" },
    { command: [process.execPath, script] },
  );
  await service.logged(/"model ready"/);
  const place = { url: await service.url() };
  const embed = (path: string) => postUrlencoded(place, "/upload", { imageUrl: origin.url(path) });
  return { service, embed };
}

test("a worker that hangs in native code ends the process, after the work of the others", async () => {
  using systemd = listenForNotices();
  const { service, embed } = await startHanging(systemd);
  await using _process = service;
  const other = embed("/held");
  await until(() => held.length > 0);
  await expectProblem(await embed("/hang"), "shutting-down");
  await systemd.told(/^STATUS=stopping: a worker hangs in native code/);
  expect(systemd.messages()).toContain("STOPPING=1");
  held.splice(0).forEach(respondWith("picture"));
  expect((await other).status).toBe(200);
  // Not by a signal of its own, such as SIGABRT: that would be 128 and more.
  expect(await service.exited).toBe(1);
  expect(service.log()).toContain('"level":"error","message":"a worker is lost');
});

test("a worker that hangs while it is idle ends the process too", async () => {
  using systemd = listenForNotices();
  const { service, embed } = await startHanging(systemd);
  await using _process = service;
  expect((await embed("/hang-idle")).status).toBe(200);
  expect(await service.exited).toBe(1);
  expect(systemd.messages()).toContain("STATUS=stopping: an idle worker is silent");
});

test("a worker that dies while it is idle is warm again before the next request", async () => {
  using systemd = listenForNotices();
  const { service, embed } = await startHanging(systemd);
  await using _process = service;
  expect((await embed("/exit-idle")).status).toBe(200);
  await service.logged(/"a worker is warmed up again"/);
  const answers = await Promise.all([embed("/picture"), embed("/picture")]);
  expect(answers.map(({ status }) => status)).toEqual([200, 200]);
  service.signal("SIGTERM");
  expect(await service.exited).toBe(0);
});

test("where its stderr is the journal's stream, every line has a priority and no time", async () => {
  const main = join(import.meta.dir, "../../src/main.ts");
  const script = 'JOURNAL_STREAM=$(stat -Lc %d:%i /proc/self/fd/2) exec "$@"';
  await using service = await startProcess(
    {},
    { command: ["sh", "-c", script, "sh", process.execPath, main, "serve"] },
  );
  await service.logged(/^<6>info {2}listening url="http/m);
  await service.logged(/^<4>warn {2}the weights are synthetic/m);
  service.signal("SIGTERM");
  expect(await service.exited).toBe(0);
  const lines = service.log().trimEnd().split("\n");
  expect(lines.filter((line) => !/^<[3467]>(debug|info|warn|error) +\S/.test(line))).toEqual([]);
});
