import { expect, test } from "bun:test";
import { startHttpServer } from "../../src/http/server.ts";
import { createLog } from "../../src/log.ts";

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
    },
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
