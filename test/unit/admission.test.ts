import { expect, test } from "bun:test";
import { createAdmission, type Ticket } from "../../src/core/admission.ts";
import { Problem } from "../../src/errors.ts";

function setUp(limit: number, expectedWaitMs = () => 0, maxArriving = 100) {
  let nowMs = 0;
  const { arrive } = createAdmission({
    now: () => nowMs,
    limit,
    maxArriving,
    maxHeldBytes: 1000,
    expectedWaitMs,
    maxWaitMs: 10_000,
  });
  /** Of another client each, unless told. */
  let clients = 0;
  const next = (client?: string) => {
    clients += 1;
    return arrive(client ?? `client ${clients}`, ["image"]);
  };
  return {
    arrive: next,
    enter: () => enterWith(next()),
    pass: (ms: number) => {
      nowMs += ms;
    },
  };
}

/** Lets in a request whose body is there. */
function enterWith(ticket: Ticket): Ticket {
  ticket.enter();
  return ticket;
}

/** What somebody hears who is not let in. */
function refusal(enter: () => unknown): Problem | undefined {
  try {
    enter();
    return undefined;
  } catch (error) {
    if (error instanceof Problem) return error;
    throw error;
  }
}

test("as many as the limit come in, and one more is refused at once", () => {
  const { enter } = setUp(2);
  enter();
  enter();
  expect(refusal(enter)).toMatchObject({ code: "overloaded", retryAfterS: 1 });
});

test("who leaves makes room for one", () => {
  const { enter } = setUp(1);
  const ticket = enter();
  expect(refusal(enter)).toBeDefined();
  ticket.release();
  expect(refusal(enter)).toBeUndefined();
  expect(refusal(enter)).toBeDefined();
});

test("leaving twice makes room for one only", () => {
  const { enter } = setUp(1);
  const first = enter();
  first.release();
  first.release();
  enter();
  expect(refusal(enter)).toBeDefined();
  first.release();
  expect(refusal(enter)).toBeDefined();
});

test("a limit of 0 lets nobody in", () => {
  expect(refusal(setUp(0).enter)).toMatchObject({ code: "overloaded" });
});

test("the time to come back is the expected wait, in whole seconds, and 1 at least", () => {
  for (const [waitMs, seconds] of [
    [0, 1],
    [999, 1],
    [1001, 2],
    [9_500, 10],
  ] as const) {
    const refused = refusal(setUp(0, () => waitMs).enter);
    expect(refused?.retryAfterS).toBe(seconds);
    expect(refused?.message).toContain(`in ${seconds} s`);
  }
});

test("a wait longer than a request may take is refused, although there is room", () => {
  let waitMs = 10_000;
  const { enter } = setUp(2, () => waitMs);
  expect(refusal(enter)).toBeUndefined();
  waitMs = 10_001;
  expect(refusal(enter)).toMatchObject({ code: "overloaded", retryAfterS: 11 });
  waitMs = 0;
  expect(refusal(enter)).toBeUndefined();
});

test("a wait for texts refuses no image, and who brings both hears of the longer wait", () => {
  const { arrive } = createAdmission({
    limit: 10,
    maxArriving: 10,
    maxHeldBytes: 1000,
    now: () => 0,
    expectedWaitMs: (kind) => (kind === "text" ? 20_000 : 0),
    maxWaitMs: 10_000,
  });
  expect(refusal(() => arrive("a", ["image"]).enter())).toBeUndefined();
  expect(refusal(() => arrive("a", ["text"]))).toMatchObject({
    code: "overloaded",
    retryAfterS: 20,
  });
  expect(refusal(() => arrive("a", ["image", "text"]))).toMatchObject({ retryAfterS: 20 });
});

test("a wait that has become too long while the body came is refused too", () => {
  let waitMs = 0;
  const { arrive } = setUp(10, () => waitMs);
  const ticket = arrive();
  waitMs = 10_001;
  expect(refusal(ticket.enter)).toMatchObject({ code: "overloaded", retryAfterS: 11 });
});

test("bodies that are still arriving take no place in the house, and have a bound of their own", () => {
  const { arrive } = setUp(1, undefined, 2);
  const first = arrive();
  const second = arrive();
  expect(refusal(arrive)).toMatchObject({ code: "overloaded" });
  expect(refusal(first.enter)).toBeUndefined();
  expect(refusal(second.enter)).toMatchObject({ code: "overloaded" });
});

test("a place among those that arrive is free again once its request is in, or gone", () => {
  const { arrive } = setUp(10, undefined, 1);
  const first = arrive();
  expect(refusal(arrive)).toMatchObject({ code: "overloaded" });
  first.enter();
  const second = arrive();
  first.release();
  expect(refusal(arrive)).toMatchObject({ code: "overloaded" });
  second.release();
  expect(refusal(arrive)).toBeUndefined();
});

test("nobody need send a body for which there is no place", () => {
  const { arrive, enter } = setUp(1);
  const ticket = enter();
  expect(refusal(arrive)).toMatchObject({ code: "overloaded" });
  ticket.release();
  expect(refusal(arrive)).toBeUndefined();
});

test("all requests share a bound on the memory that they hold, from their first byte to their answer", () => {
  const { arrive } = setUp(10);
  const [first, second] = [arrive(), arrive()];
  first.hold(500);
  first.enter();
  expect(refusal(() => second.hold(501))?.message).toContain("at capacity");
  second.hold(250);
  first.release();
  first.release();
  expect(refusal(() => second.hold(250))).toBeUndefined();
  expect(refusal(() => arrive().hold(501))).toMatchObject({ code: "overloaded" });
});

test("a client that sends as many bodies as it can leaves as many places to others", () => {
  const { arrive } = setUp(10, undefined, 12);
  const own = Array.from({ length: 6 }, () => arrive("a"));
  expect(refusal(() => arrive("a"))?.message).toContain("equests of this client");
  const others = Array.from({ length: 3 }, () => arrive("b"));
  expect(refusal(() => arrive("b"))).toMatchObject({ code: "overloaded" });
  // Not even together do they take it all.
  expect(refusal(() => arrive("c"))).toBeUndefined();
  for (const one of [...own, ...others]) one.release();
  expect(refusal(() => arrive("a"))).toBeUndefined();
});

test("a client that holds as much memory as it can leaves as much to others", () => {
  const { arrive } = setUp(10);
  const [first, second] = [arrive("a"), arrive("a")];
  first.hold(400);
  second.hold(100);
  expect(refusal(() => second.hold(1))?.message).toContain("equests of this client");
  const other = arrive("b");
  other.hold(250);
  expect(refusal(() => other.hold(1))).toMatchObject({ code: "overloaded" });
  first.release();
  expect(refusal(() => second.hold(1))).toBeUndefined();
});

test("in a full house the time to come back follows from how long requests stay, those that are still there too", () => {
  const { arrive, enter, pass } = setUp(2);
  const [first, second] = [enter(), enter()];
  expect(refusal(arrive)).toMatchObject({ retryAfterS: 1 });
  pass(20_000);
  // Nobody has ever left: two in 40 s, at best.
  expect(refusal(arrive)).toMatchObject({ retryAfterS: 20 });
  first.release();
  second.release();
  enter();
  enter();
  // Each stays for 20 s, as it seems: so one of two leaves in 10 s.
  expect(refusal(arrive)).toMatchObject({ retryAfterS: 10 });
});

test("where all places of bodies are taken, the time to come back follows from how long bodies take", () => {
  const { arrive, pass } = setUp(10, undefined, 2);
  arrive("a");
  arrive("b");
  pass(6_000);
  expect(refusal(arrive)).toMatchObject({ retryAfterS: 6 });
});

test("memory that is given back is free before the release, and is not given back again by it", () => {
  const { arrive: next } = setUp(10);
  const first = next("a");
  first.hold(400);
  first.giveBack(400);
  first.hold(500);
  expect(refusal(() => first.hold(100))).toMatchObject({ code: "overloaded" });
  first.release();
  first.giveBack(500);
  const second = next("a");
  second.hold(500);
  expect(refusal(() => second.hold(1))).toMatchObject({ code: "overloaded" });
});
