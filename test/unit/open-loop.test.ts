/** The load generator of the figures: it may not be kinder to a slow server than the world is. */
import { expect, test } from "bun:test";
import { runOpenLoop, schedule } from "../bench/open-loop.ts";
import { openConnection } from "../bench/open-loop-connection.ts";

test("the schedule has the wanted rate, goes forward only, and is the same every time", () => {
  const times = [...schedule(100, 60_000)];
  expect(times.length).toBeGreaterThan(5700);
  expect(times.length).toBeLessThan(6300);
  expect(times).toEqual(times.toSorted((a, b) => a - b));
  expect(times).toEqual([...schedule(100, 60_000)]);
});

test("requests are sent although no answer comes, up to a bound, and each is accounted for", async () => {
  let sent = 0;
  const report = await runOpenLoop({
    connect: async () => ({
      exchange: () => {
        sent += 1;
        return new Promise(() => {});
      },
      isOpen: () => true,
      close: () => {},
    }),
    nextRequest: () => new Uint8Array(),
    requestsPerS: 1000,
    forMs: 50,
    maxUnderWay: 10,
    patienceMs: 1,
  });
  expect(sent).toBe(10);
  expect(report.offered).toBe([...schedule(1000, 50)].length);
  expect(report.errors).toEqual({
    "not sent: 10 were under way": report.offered - 10,
    "no answer": 10,
  });
});

test("a wait for the server's connection counts, from the scheduled time", async () => {
  const answer = { status: 503, serverMs: 1, bytes: 1 };
  const report = await runOpenLoop({
    connect: async () => {
      await Bun.sleep(30);
      return { exchange: async () => answer, isOpen: () => false, close: () => {} };
    },
    nextRequest: () => new Uint8Array(),
    requestsPerS: 200,
    forMs: 50,
    maxUnderWay: 100,
    patienceMs: 10_000,
  });
  expect(report.offered).toBeGreaterThan(0);
  expect(report.refusedMs).toHaveLength(report.offered);
  expect(Math.min(...report.refusedMs)).toBeGreaterThan(25);
  expect(report.refusedServerMs).toEqual(report.refusedMs.map(() => 1));
});

test("a connection reads answers of known length and in chunks, and says when it is over", async () => {
  await using server = Bun.serve({
    hostname: "127.0.0.1",
    port: 0,
    fetch: (request) => {
      const headers = { "server-timing": "infer;dur=2.5, total;dur=7.5" };
      if (request.url.endsWith("/length")) return new Response("x".repeat(100_000), { headers });
      const body = new Blob(["busy"]).stream();
      return new Response(body, { status: 503, headers: { ...headers, connection: "close" } });
    },
  });
  const connection = await openConnection(server.url);
  const get = (path: string) =>
    connection.exchange(new TextEncoder().encode(`GET ${path} HTTP/1.1\r\nHost: a\r\n\r\n`));
  for (let time = 0; time < 2; time += 1) {
    const answer = await get("/length");
    expect(answer).toMatchObject({ status: 200, serverMs: 7.5 });
    expect(answer.bytes).toBeGreaterThan(100_000);
  }
  expect(connection.isOpen()).toBe(true);
  expect(await get("/chunks")).toMatchObject({ status: 503, serverMs: 7.5 });
  expect(connection.isOpen()).toBe(false);
});
