import { expect, test } from "bun:test";
import { createAccessLog } from "../../src/http/access-log.ts";
import { startHttpServer } from "../../src/http/server.ts";
import { createLog } from "../../src/log.ts";
import { until } from "../support/client.ts";
import { connectRaw, headOf } from "../support/raw-client.ts";

/** A server whose one answer comes when the test says so. */
function startSlowServer() {
  const { promise, resolve } = Promise.withResolvers<void>();
  const arrived = Promise.withResolvers<void>();
  const server = startHttpServer({
    app: {
      fetch: async () => {
        arrived.resolve();
        await promise;
        return new Response("done");
      },
      findRoute: () => undefined,
    },
    onServed: () => {},
    calls: new WeakMap(),
    lifecycle: { isDraining: false, isHandingOver: false },
    hostname: "127.0.0.1",
    port: 0,
    log: createLog({ level: "error", format: "json", write: () => {}, now: () => new Date() }),
  });
  return { server, arrived: arrived.promise, release: resolve };
}

test("a stop waits for the request that is under way", async () => {
  const { server, arrived, release } = startSlowServer();
  const answer = fetch(server.url);
  await arrived;
  const stopped = server.stop(10_000);
  release();
  expect(await (await answer).text()).toBe("done");
  expect(await stopped).toBe(true);
  await server.close();
});

test("a stop does not wait for a request beyond its deadline, and cuts it then", async () => {
  const { server, arrived } = startSlowServer();
  const answer = fetch(server.url);
  answer.catch(() => {});
  await arrived;
  expect(await server.stop(10)).toBe(false);
  await server.close();
  expect(answer).rejects.toThrow();
});

test("a body that has half arrived when the service ends is logged as cut, and not as a client who left", async () => {
  const lines: string[] = [];
  const log = createLog({
    level: "info",
    format: "json",
    write: (line) => lines.push(line),
    now: () => new Date(),
  });
  const server = startHttpServer({
    app: {
      fetch: async (request) => new Response(await request.text()),
      findRoute: () => undefined,
    },
    onServed: createAccessLog({ log, healthSample: 0 }),
    calls: new WeakMap(),
    lifecycle: { isDraining: false, isHandingOver: false },
    hostname: "127.0.0.1",
    port: 0,
    log,
  });
  const head = headOf("/upload", { "Content-Length": 100, "X-Request-Id": "half" });
  const [leaves, stays] = [await connectRaw(server), await connectRaw(server)];
  leaves.write(`${head.replace("half", "gone")}{`);
  stays.write(`${head}{`);
  await Bun.sleep(50);
  leaves.hangUp();
  await until(() => lines.length === 1);
  expect(await server.stop(10)).toBe(false);
  await server.close();
  await until(() => lines.length === 2);
  const logged = lines.map((line) => JSON.parse(line));
  expect(logged).toMatchObject([
    { request_id: "gone", left: true },
    { request_id: "half", cut: true },
  ]);
  expect(logged[1]).not.toHaveProperty("left");
});
