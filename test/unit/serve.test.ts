/** The life of a service, as the command that serves it sees it. */
import { expect, test } from "bun:test";
import { type Outside, type Servable, type StopReason, serve } from "../../src/cli/serve.ts";
import type { ServiceManager } from "../../src/cli/service-manager.ts";
import { createLog } from "../../src/log.ts";
import { until } from "../support/client.ts";

/** Serves something that does nothing, and hands out the way to stop it. */
function start(service: Partial<Servable> = {}, outside: Partial<Outside> = {}) {
  const lines: string[] = [];
  const done: string[] = [];
  /** What the service manager is told. */
  const told: string[] = [];
  const log = createLog({
    level: "debug",
    format: "json",
    write: (line) => lines.push(line),
    now: () => new Date(0),
  });
  const manager: ServiceManager = {
    ready: () => void told.push("ready"),
    tookOver: () => void told.push("took over"),
    reloading: () => void told.push("reloading"),
    stopping: () => void told.push("stopping"),
    status: (line) => void told.push(line),
    watch: () => {
      told.push("watch");
      return { [Symbol.dispose]: () => void told.push("watch no more") };
    },
  };
  let give: (reason: StopReason) => void = () => {};
  let reload = () => {};
  const code = serve(
    {
      backends: [],
      listen: async () => new URL("http://127.0.0.1:1/"),
      load: async () => void done.push("load"),
      check: () => {},
      reload: async () => void done.push("reload"),
      handOver: async () => false,
      stop: async () => void done.push("stop"),
      ...service,
    },
    {
      onStop: (listener) => {
        give = listener;
      },
      onReload: (listener) => {
        reload = listener;
      },
      manager,
      log,
      port: 8000,
      ...outside,
    },
  );
  return {
    code,
    done,
    lines,
    told,
    give: (reason: StopReason) => give(reason),
    reload: () => reload(),
  };
}

const sigterm = { kind: "signal", name: "SIGTERM" } as const;

test("it listens, loads beside, and a signal stops it with 0", async () => {
  const { code, done, give } = start();
  give(sigterm);
  expect(await code).toBe(0);
  expect(done).toEqual(["load", "stop"]);
});

test("a host on which it cannot load its libraries ends it with 1, and one sentence", async () => {
  const load = () => Promise.reject(new Error("libvips cannot be loaded: install libstdc++6"));
  const { code, done, lines, told } = start({ load });
  expect(await code).toBe(1);
  expect(done).toEqual(["stop"]);
  const errors = lines.map((line) => JSON.parse(line)).filter(({ level }) => level === "error");
  expect(errors.map(({ message }) => message)).toEqual([
    "libvips cannot be loaded: install libstdc++6",
  ]);
  expect(told).toContain("stopping: libvips cannot be loaded: install libstdc++6");
});

test("a signal is heard while it loads", async () => {
  const { code, give } = start({ load: () => new Promise(() => {}) });
  give(sigterm);
  expect(await code).toBe(0);
});

test("a lost worker stops it with 1, after what is under way, and is told as an error", async () => {
  const { code, done, give, lines } = start();
  give({ kind: "worker-lost", cause: new Error("it hangs") });
  expect(await code).toBe(1);
  expect(done).toEqual(["load", "stop"]);
  expect(lines.some((line) => /"level":"error".*"cause":"it hangs"/.test(line))).toBe(true);
  expect(lines.at(-1)).toContain('"message":"stopped","code":1');
});

test("a second worker that is lost, or the echo of a signal, does not hurry the stop", async () => {
  const stopped = Promise.withResolvers<void>();
  const { code, give } = start({ stop: () => stopped.promise });
  give(sigterm);
  give(sigterm);
  give({ kind: "worker-lost", cause: new Error("it hangs too") });
  stopped.resolve();
  expect(await code).toBe(0);
});

test("what cannot listen is not loaded, and ends with 1", async () => {
  const listen = () => Promise.reject(Object.assign(new Error("listen"), { code: "EACCES" }));
  const { code, done, lines } = start({ listen });
  expect(await code).toBe(1);
  expect(done).toEqual([]);
  expect(lines.join()).toContain("1024 or higher");
});

test("the service manager is told of the start before anything is loaded, and of the stop", async () => {
  const { code, give, told } = start({ load: () => new Promise(() => {}) });
  await until(() => told.includes("ready"));
  give(sigterm);
  expect(await code).toBe(0);
  expect(told).toEqual([
    "watch",
    "listening on http://127.0.0.1:1/",
    "ready",
    "stopping",
    "stopping: SIGTERM",
    "watch no more",
  ]);
});

test("its status follows the models, and says what is wrong with them", async () => {
  const loaded = Promise.withResolvers<void>();
  let isLoaded = false;
  const loading = { kind: "loading", why: "The weights are being prepared." } as const;
  const state = () => (isLoaded ? ({ kind: "ready" } as const) : loading);
  const dino = { kind: "unavailable", why: "There is no key." } as const;
  const backends = [
    { exactId: "clip", state },
    { exactId: "dino", state: () => dino },
  ];
  const { code, give, told } = start({ backends, load: () => loaded.promise });
  await until(() => told.includes("ready"));
  const status = "listening on http://127.0.0.1:1/; clip: ";
  const other = "; dino: unavailable: There is no key.";
  expect(told).toContain(`${status}loading: The weights are being prepared.${other}`);
  isLoaded = true;
  loaded.resolve();
  await until(() => told.includes(`${status}ready${other}`));
  give(sigterm);
  await code;
});

test("why it could not start is its status", async () => {
  const listen = () => Promise.reject(Object.assign(new Error("listen"), { code: "EADDRINUSE" }));
  const { code, told } = start({ listen });
  expect(await code).toBe(1);
  expect(told).toEqual([expect.stringContaining("the port is taken")]);
});

test("a lost worker is the status of the stop, and the watchdog is kept content meanwhile", async () => {
  const stopped = Promise.withResolvers<void>();
  const { code, give, told } = start({ stop: () => stopped.promise });
  give({ kind: "worker-lost", cause: new Error("it hangs") });
  await until(() => told.includes("stopping: it hangs"));
  expect(told).not.toContain("watch no more");
  stopped.resolve();
  expect(await code).toBe(1);
});

test("reloads are done one after the other, each between its two notices", async () => {
  const releases: (() => void)[] = [];
  const reload = () => new Promise<void>((resolve) => releases.push(resolve));
  const service = start({ reload });
  await until(() => service.told.includes("ready"));
  service.reload();
  service.reload();
  const notices = () => service.told.filter((one) => /^(ready|reloading)$/.test(one));
  await until(() => releases.length === 1);
  expect(notices()).toEqual(["ready", "reloading"]);
  releases[0]?.();
  await until(() => releases.length === 2);
  releases[1]?.();
  await until(() => notices().length === 5);
  expect(notices()).toEqual(["ready", "reloading", "ready", "reloading", "ready"]);
  service.give(sigterm);
  await service.code;
});

test("a reload that the stop overtakes is not told as the end of the stop", async () => {
  const reloaded = Promise.withResolvers<void>();
  const stopped = Promise.withResolvers<void>();
  const reload = () => reloaded.promise;
  const service = start({ reload, stop: () => stopped.promise });
  await until(() => service.told.includes("ready"));
  service.reload();
  await until(() => service.told.includes("reloading"));
  service.give(sigterm);
  await until(() => service.told.includes("stopping"));
  reloaded.resolve();
  service.reload();
  await Bun.sleep(1);
  stopped.resolve();
  expect(await service.code).toBe(0);
  expect(service.told.filter((one) => one === "ready")).toHaveLength(1);
  expect(service.told.filter((one) => one === "reloading")).toHaveLength(1);
});
