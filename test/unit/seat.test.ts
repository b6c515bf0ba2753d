/** One worker's seat: warm-ups, errands, and what a failure leaves behind. */
import { expect, test } from "bun:test";
import { createSeat, type SeatOptions } from "../../src/backends/seat.ts";
import { until } from "../support/client.ts";
import { anyModel, createFakeWorker, type FakeWorker } from "../support/fake-worker.ts";

function setUp(worker: FakeWorker, options: Partial<SeatOptions> = {}) {
  const lost: Error[] = [];
  let changes = 0;
  const seat = createSeat({
    worker,
    cores: new Int32Array(new SharedArrayBuffer(4)),
    hangTimeoutMs: 60_000,
    warmUpTimeoutMs: 60_000,
    pingTimeoutMs: 60_000,
    log: { warn: () => {} },
    onWorkerLost: (cause) => lost.push(cause),
    onChange: () => {
      changes += 1;
    },
    ...options,
  });
  return { ...seat, lost, changes: () => changes };
}

/** For work that does not hang. */
const unexpected = () => {
  throw new Error("it does not hang");
};

/** Something to do that never ends. */
const never = () => new Promise<never>(() => {});

test("a warm-up makes the seat warm, and one without a model leaves it cold but usable", async () => {
  const worker = createFakeWorker();
  const seat = setUp(worker);
  expect(seat.isWarm()).toBe(false);
  await seat.warmUp(undefined);
  expect(seat.isWarm()).toBe(false);
  await seat.warmUp(anyModel);
  expect(seat.isWarm()).toBe(true);
  expect(worker.tasks).toEqual([
    expect.objectContaining({ kind: "warm-up", model: undefined }),
    expect.objectContaining({ kind: "warm-up", model: anyModel }),
  ]);
});

test("a warm-up that fails tells why, and leaves the seat cold and free", async () => {
  const onWarmUp = async () => {
    throw new Error("the file is broken");
  };
  const seat = setUp(createFakeWorker({ onWarmUp }));
  await expect(seat.warmUp(anyModel)).rejects.toThrow("the file is broken");
  await until(seat.isFree);
  expect(seat.isWarm()).toBe(false);
  expect(seat.lost).toEqual([]);
});

test("a warm-up that never ends loses the seat, since its thread is still inside", async () => {
  const worker = createFakeWorker({ onWarmUp: never });
  const seat = setUp(worker, { warmUpTimeoutMs: 5 });
  await expect(seat.warmUp(anyModel)).rejects.toThrow("did not become ready");
  await until(seat.isLost);
  expect(seat.lost).toMatchObject([{ name: "DeadlineError" }]);
  expect(seat.isFree()).toBe(false);
  expect(seat.changes()).toBe(1);
  await seat.close();
  expect(worker.isClosed).toBe(false);
});

test("errands are done one after another, and the seat is free after the last", async () => {
  const seat = setUp(createFakeWorker());
  const first = Promise.withResolvers<string>();
  const begun: string[] = [];
  const errands = ["first", "second", "third"].map((name) =>
    seat.errand(async () => {
      begun.push(name);
      return name === "first" ? await first.promise : name;
    }),
  );
  expect(begun).toEqual(["first"]);
  expect(seat.isFree()).toBe(false);
  first.resolve("done");
  expect(await Promise.all(errands)).toEqual(["done", "second", "third"]);
  await until(seat.isFree);
  expect(begun).toEqual(["first", "second", "third"]);
  expect(seat.changes()).toBe(1);
});

test("an errand that fails does not keep the next from its turn", async () => {
  const seat = setUp(createFakeWorker());
  const failed = seat.errand(() => Promise.reject(new Error("no")));
  const next = seat.errand(async () => "yes");
  await expect(failed).rejects.toThrow("no");
  expect(await next).toBe("yes");
});

test("a warm-up that waits its turn comes before the seat is offered to others", async () => {
  const work = Promise.withResolvers<void>();
  const seat = setUp(createFakeWorker());
  seat.occupy(() => work.promise, unexpected);
  const warm = seat.warmUp(anyModel);
  expect(seat.changes()).toBe(0);
  work.resolve();
  await warm;
  await until(seat.isFree);
  expect(seat.changes()).toBe(1);
});

test("after a failure the seat is offered again only once its worker is warm", async () => {
  const again = Promise.withResolvers<void>();
  let warmUps = 0;
  const worker = createFakeWorker({
    onWarmUp: async () => {
      warmUps += 1;
      if (warmUps > 1) await again.promise;
    },
  });
  const seat = setUp(worker);
  await seat.warmUp(anyModel);
  await until(seat.isFree);
  seat.occupy(() => Promise.reject(new Error("the thread died")), unexpected);
  await until(() => warmUps === 2);
  expect(seat.isWarm()).toBe(false);
  expect(seat.isFree()).toBe(false);
  again.resolve();
  await until(seat.isFree);
  expect(seat.isWarm()).toBe(true);
  expect(seat.lost).toEqual([]);
});

test("a cold seat needs no warm-up after a failure", async () => {
  const worker = createFakeWorker();
  const seat = setUp(worker);
  seat.occupy(() => Promise.reject(new Error("undecodable")), unexpected);
  await until(seat.isFree);
  expect(worker.tasks).toEqual([]);
});

test("a worker that hangs while it is warmed up again is lost, and its seat stays taken", async () => {
  let warmUps = 0;
  const worker = createFakeWorker({
    onWarmUp: () => {
      warmUps += 1;
      return warmUps > 1 ? never() : Promise.resolve();
    },
  });
  const seat = setUp(worker, { warmUpTimeoutMs: 5 });
  await seat.warmUp(anyModel);
  await until(seat.isFree);
  seat.occupy(() => Promise.reject(new Error("the thread died")), unexpected);
  await until(seat.isLost);
  expect(seat.lost).toMatchObject([{ message: "a worker could not be warmed up again" }]);
  expect(seat.isFree()).toBe(false);
});

test("an idle worker that gives a sign of life is left as it is", async () => {
  const worker = createFakeWorker();
  const seat = setUp(worker);
  await seat.warmUp(anyModel);
  seat.check();
  expect(seat.isFree()).toBe(false);
  await until(seat.isFree);
  expect(worker.tasks.map(({ kind }) => kind)).toEqual(["warm-up", "ping"]);
  expect(seat.isWarm()).toBe(true);
});

test("an idle worker that gives none is lost", async () => {
  const worker = createFakeWorker({ onPing: never });
  const seat = setUp(worker, { pingTimeoutMs: 5 });
  seat.check();
  await until(seat.isLost);
  expect(seat.lost).toMatchObject([{ message: "an idle worker is silent" }]);
  seat.check();
  expect(worker.tasks).toHaveLength(1);
});

test("an idle worker that has lost its model is warmed up before anybody gets it", async () => {
  const worker = createFakeWorker({ onPing: async () => ({ isWarm: false }) });
  const seat = setUp(worker);
  await seat.warmUp(anyModel);
  const changes = seat.changes();
  seat.check();
  await until(() => seat.changes() > changes);
  expect(worker.tasks.map(({ kind }) => kind)).toEqual(["warm-up", "ping", "warm-up"]);
  expect(seat.isWarm()).toBe(true);
  expect(seat.isFree()).toBe(true);
});

test("a cold worker is asked too, and has no model to lose", async () => {
  const worker = createFakeWorker({ onPing: async () => ({ isWarm: false }) });
  const seat = setUp(worker);
  seat.check();
  await until(seat.isFree);
  expect(worker.tasks).toEqual([{ kind: "ping" }]);
});

test("a thread that dies while it is idle is warmed up again at once, and that is told", async () => {
  const worker = createFakeWorker();
  const warnings: unknown[] = [];
  const seat = setUp(worker, { log: { warn: (_, fields) => warnings.push(fields) } });
  await seat.warmUp(anyModel);
  worker.die();
  expect(seat.isWarm()).toBe(false);
  expect(seat.isFree()).toBe(false);
  await until(seat.isFree);
  expect(seat.isWarm()).toBe(true);
  expect(warnings).toEqual([{ cause: "its thread died while it was idle" }]);
});

test("a thread that dies at work, or because its seat is closed, is not warmed up for that", async () => {
  const worker = createFakeWorker();
  const seat = setUp(worker);
  await seat.warmUp(anyModel);
  const work = Promise.withResolvers<void>();
  seat.occupy(() => work.promise, unexpected);
  worker.die();
  work.resolve();
  await until(seat.isFree);
  await seat.close();
  worker.die();
  seat.check();
  // The second is the release of the session.
  expect(worker.tasks.map(({ kind }) => kind)).toEqual(["warm-up", "warm-up"]);
});

test("whoever waits for work that hangs is told", async () => {
  const seat = setUp(createFakeWorker(), { hangTimeoutMs: 5 });
  let isTold = false;
  seat.occupy(never, () => {
    isTold = true;
  });
  await until(seat.isLost);
  expect(isTold).toBe(true);
  expect(seat.lost).toMatchObject([{ message: "a worker hangs in native code" }]);
});
