/** The load generator of the figures, and what is judged by it: neither may be kinder to a slow server than the world is. */
import { expect, test } from "bun:test";
import { goodput, runOpenLoop, schedule } from "../bench/open-loop.ts";
import { openConnection } from "../bench/open-loop-connection.ts";
import type { LoadRun } from "../bench/overload-run.ts";
import { judgeOverload } from "../bench/overload-verdict.ts";
import { capacityOfMix } from "../bench/soak-requests.ts";
import { growthFaults, refusalFaults } from "../bench/soak-rules.ts";

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
    leadInMs: 0,
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
  const answer = { status: 503, serverTiming: "", serverMs: 1, refusal: "", bytes: 1 };
  const report = await runOpenLoop({
    connect: async () => {
      await Bun.sleep(30);
      return { exchange: async () => answer, isOpen: () => false, close: () => {} };
    },
    nextRequest: () => new Uint8Array(),
    requestsPerS: 200,
    forMs: 50,
    leadInMs: 0,
    maxUnderWay: 100,
    patienceMs: 10_000,
  });
  expect(report.offered).toBeGreaterThan(0);
  expect(report.refusedMs).toHaveLength(report.offered);
  expect(Math.min(...report.refusedMs)).toBeGreaterThan(25);
  expect(report.refusedServerMs).toEqual(report.refusedMs.map(() => 1));
});

test("what is answered during the lead-in does not count as goodput, but for everything else", async () => {
  const report = await runOpenLoop({
    connect: async () => ({
      exchange: async () => ({
        status: 200,
        serverTiming: "",
        serverMs: 1,
        refusal: undefined,
        bytes: 1,
      }),
      isOpen: () => false,
      close: () => {},
    }),
    nextRequest: () => new Uint8Array(),
    requestsPerS: 1000,
    forMs: 50,
    leadInMs: 50,
    maxUnderWay: 100,
    patienceMs: 10_000,
  });
  expect(report.acceptedMs).toHaveLength(report.offered);
  expect(report.acceptedInTime).toBe(0);
  expect(goodput({ ...report, acceptedInTime: 3, leadInMs: 20 })).toBeCloseTo(100);
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

/** A load under which all that was asked for was embedded at once. */
const calm: LoadRun = {
  multiple: 1,
  offered: 100,
  forMs: 10_000,
  leadInMs: 0,
  acceptedMs: new Array<number>(100).fill(20),
  acceptedInTime: 100,
  refusedMs: [1],
  refusedServerMs: [1],
  lateMs: [1],
  errors: {},
  delay: { p50: 0, p99: 0, longest: 0 },
  resident: [1000, 1200, 1000],
  cores: { service: 1, generator: 0.1 },
};
const missedBy = (...others: readonly Partial<LoadRun>[]) =>
  judgeOverload([calm, ...others.map((other) => ({ ...calm, multiple: 20, ...other }))])
    .filter(({ isMet }) => !isMet)
    .map(({ text }) => text.split(/[:,]/, 1)[0]);

test("overload misses what it is wanted for, each at its own threshold", () => {
  expect(missedBy({})).toEqual([]);
  expect(missedBy({ acceptedInTime: 90, refusedMs: [50], resident: [1000, 9000, 1050] })).toEqual(
    [],
  );
  expect(missedBy({ acceptedInTime: 89 }, {})).toEqual(["least embedded"]);
  expect(missedBy({ refusedMs: [50.1] })).toEqual(["longest refusal"]);
  expect(missedBy({ resident: [1050, 1050, 1051] })).toEqual([
    "resident at the end over the start",
  ]);
  expect(missedBy({ acceptedMs: new Array<number>(100).fill(60_000) })).toEqual([
    "p99 of all that was not refused",
  ]);
});

test("an answer that is neither vectors nor a refusal counts as one that never came", () => {
  expect(missedBy({ errors: { "status 504": 1 } })).toEqual(["neither embedded nor refused"]);
  expect(missedBy({ errors: { "status 504": 2 } })).toEqual([
    "p99 of all that was not refused",
    "neither embedded nor refused",
  ]);
  expect(missedBy({ acceptedMs: [], acceptedInTime: 0 })).toEqual([
    "least embedded",
    "p99 of all that was not refused",
  ]);
});

test("a mix takes the capacity that its images and texts take, and the rest of it none", () => {
  const capacity = { imagesPerS: 40, textsPerS: 100 };
  expect(capacityOfMix([{ share: 3, images: 1 }], capacity)).toBeCloseTo(40);
  expect(capacityOfMix([{ share: 3, texts: 2 }], capacity)).toBeCloseTo(50);
  const mix = [{ share: 50, images: 1 }, { share: 10, images: 1, texts: 2 }, { share: 40 }];
  expect(capacityOfMix(mix, capacity)).toBeCloseTo(100 / (60 / 40 + 20 / 100));
});

test("a soak that refuses too much is at fault, in all or of one kind", () => {
  const upload = { isGood: true, answered: 100, refused: 5 };
  const bad = { isGood: false, answered: 10, refused: 9 };
  expect([...refusalFaults({ upload, bad })]).toEqual([]);
  expect([...refusalFaults({ upload: { ...upload, refused: 6 } })]).toHaveLength(1);
  expect([...refusalFaults({ upload: { ...upload, refused: 100 } })]).toHaveLength(2);
  expect([...refusalFaults({ upload, bad: { ...bad, refused: 10 } })]).toHaveLength(1);
  expect([...refusalFaults({ upload, bad: { ...bad, answered: 0, refused: 0 } })]).toHaveLength(1);
  expect([...refusalFaults({})]).toHaveLength(1);
});

test("a soak compares its last minute with the first after the warm-up, and idle with idle", () => {
  const sample = { residentMb: 1000, descriptors: 20, threads: 10 };
  const growth = (
    last: Partial<typeof sample>,
    idleAfter: Partial<typeof sample>,
    minutes = 30,
  ) => {
    const early = { residentMb: 100, descriptors: 1, threads: 1 };
    const byMinute = Array.from({ length: minutes }, (_, index) => (index < 5 ? early : sample));
    byMinute.push({ ...sample, ...last });
    return [
      ...growthFaults({ idleBefore: sample, byMinute, idleAfter: { ...sample, ...idleAfter } }),
    ];
  };
  expect(growth({ residentMb: 1050, descriptors: 60, threads: 13 }, {})).toEqual([]);
  expect(growth({}, { residentMb: 2000, descriptors: 28, threads: 13 })).toEqual([]);
  expect(growth({ residentMb: 1051, descriptors: 61, threads: 14 }, {})).toHaveLength(3);
  expect(growth({}, { descriptors: 29, threads: 14 })).toHaveLength(2);
  expect(() => growth({}, {}, 0)).toThrow("too short");
});
