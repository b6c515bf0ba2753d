/** What the service manager is told, over a real socket. */
import { expect, test } from "bun:test";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createServiceManager } from "../../src/cli/service-manager.ts";
import type { LogFields } from "../../src/log.ts";
import { until } from "../support/client.ts";
import { listenForNotices } from "../support/notify-socket.ts";

/** A service manager of process 7 in this environment, and its log. */
function setUp(environment: Readonly<Record<string, string>>) {
  const lines: [string, LogFields?][] = [];
  const log = { debug: (...line: [string, LogFields?]) => lines.push(line) };
  return { manager: createServiceManager(environment, 7, log), lines };
}

test("it is told of the start, of a reload and of the stop", () => {
  using systemd = listenForNotices();
  const { manager, lines } = setUp({ NOTIFY_SOCKET: systemd.address });
  manager.status("listening on http://[::]:8000/; clip: ready");
  manager.ready();
  manager.reloading();
  manager.ready();
  manager.stopping();
  const [status, ready, reloading, ...rest] = systemd.messages();
  expect(status).toBe("STATUS=listening on http://[::]:8000/; clip: ready");
  expect(ready).toStartWith("READY=1");
  expect(reloading).toMatch(/^RELOADING=1\nMONOTONIC_USEC=\d+$/);
  expect(rest).toEqual([ready ?? "", "STOPPING=1"]);
  expect(lines).toEqual([]);
});

test("the time of a reload is the host's monotonic clock, which all processes share", async () => {
  using systemd = listenForNotices();
  setUp({ NOTIFY_SOCKET: systemd.address }).manager.reloading();
  const [message = ""] = systemd.messages();
  const toldUs = Number(/MONOTONIC_USEC=(\d+)/.exec(message)?.[1]);
  // Both count from the start of the host; /proc/uptime also counts the time asleep.
  const uptimeS = Number.parseFloat(await Bun.file("/proc/uptime").text());
  expect(toldUs).toBeGreaterThan(0);
  expect(toldUs / 1e6).toBeLessThan(uptimeS + 1);
  expect(toldUs / 1000).toBeGreaterThan(performance.now());
});

test("a status is one line, and is told only when it has changed", () => {
  using systemd = listenForNotices();
  const { manager } = setUp({ NOTIFY_SOCKET: systemd.address });
  manager.status("one\nREADY=1");
  manager.status("one\nREADY=1");
  manager.status("two");
  manager.status("one\nREADY=1");
  expect(systemd.messages()).toEqual(["STATUS=one READY=1", "STATUS=two", "STATUS=one READY=1"]);
});

test("a socket at a path will do as well as an abstract one", async () => {
  const folder = await mkdtemp(join(tmpdir(), "imagesvc-notify-"));
  using systemd = listenForNotices(join(folder, "socket ä"));
  setUp({ NOTIFY_SOCKET: systemd.address }).manager.ready();
  expect(systemd.messages()).toHaveLength(1);
  await rm(folder, { recursive: true });
});

test.each([
  ["where nobody listens", "@imagesvc-nobody"],
  ["at a path that is missing", "/nonexistent/notify"],
  ["of another kind", "vsock:2:1234"],
  ["that is relative", "notify"],
  ["that is too long for a socket", `/${"a".repeat(108)}`],
])("a socket %s costs a debug line and nothing else", (_, address) => {
  const { manager, lines } = setUp({ NOTIFY_SOCKET: address, WATCHDOG_USEC: "1000000" });
  manager.ready();
  manager.watch()[Symbol.dispose]();
  expect(lines.length).toBeGreaterThan(0);
});

test("a socket that is full drops what it is told, and nobody waits for it", () => {
  using systemd = listenForNotices();
  const { manager, lines } = setUp({ NOTIFY_SOCKET: systemd.address });
  for (let count = 0; lines.length === 0; count += 1) manager.status(`status ${count}`);
  expect(lines).toEqual([["the service manager does not listen", { state: expect.any(String) }]]);
});

test("without a socket nothing is told", () => {
  const { manager, lines } = setUp({ WATCHDOG_USEC: "1000" });
  manager.ready();
  manager.status("listening");
  manager.reloading();
  manager.stopping();
  manager.watch()[Symbol.dispose]();
  expect(lines).toEqual([]);
});

test.each([{}, { WATCHDOG_PID: "7" }, { WATCHDOG_PID: "" }])(
  "a watchdog is told again and again (%p)",
  async (variables) => {
    using systemd = listenForNotices();
    const environment = { NOTIFY_SOCKET: systemd.address, WATCHDOG_USEC: "9000", ...variables };
    using _watch = setUp(environment).manager.watch();
    expect(systemd.messages()).toEqual(["WATCHDOG=1"]);
    await until(() => systemd.messages().length >= 3);
    expect(new Set(systemd.messages())).toEqual(new Set(["WATCHDOG=1"]));
  },
);

test.each([
  { WATCHDOG_USEC: "9000", WATCHDOG_PID: "8" },
  { WATCHDOG_USEC: "0" },
  { WATCHDOG_USEC: "soon" },
  {},
])("nothing is told to a watchdog that is not ours (%p)", (variables) => {
  using systemd = listenForNotices();
  using _watch = setUp({ NOTIFY_SOCKET: systemd.address, ...variables }).manager.watch();
  expect(systemd.messages()).toEqual([]);
});
