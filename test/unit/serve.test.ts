/** The life of a service, as the command that serves it sees it. */
import { expect, test } from "bun:test";
import { type Servable, type StopReason, serve } from "../../src/cli/serve.ts";
import { createLog } from "../../src/log.ts";

/** Serves something that does nothing, and hands out the way to stop it. */
function start(service: Partial<Servable> = {}) {
  const lines: string[] = [];
  const done: string[] = [];
  const log = createLog({
    level: "debug",
    format: "json",
    write: (line) => lines.push(line),
    now: () => new Date(0),
  });
  let give: (reason: StopReason) => void = () => {};
  const code = serve(
    {
      listen: async () => new URL("http://127.0.0.1:1/"),
      load: async () => void done.push("load"),
      stop: async () => void done.push("stop"),
      ...service,
    },
    (stop) => {
      give = stop;
    },
    log,
  );
  return { code, done, lines, give: (reason: StopReason) => give(reason) };
}

const sigterm = { kind: "signal", name: "SIGTERM" } as const;

test("it listens, loads beside, and a signal stops it with 0", async () => {
  const { code, done, give } = start();
  give(sigterm);
  expect(await code).toBe(0);
  expect(done).toEqual(["load", "stop"]);
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
