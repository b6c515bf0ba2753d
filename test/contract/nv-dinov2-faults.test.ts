/** What the client of NVIDIA's hosted model remembers from one request to the next: faults and quota. */
import { describe, expect, test } from "bun:test";
import { createFakeClock } from "../support/fake-clock.ts";
import {
  anyVector,
  fakeKey,
  holdNext,
  oneImage,
  prepareNothing,
  setUpNvDinov2,
} from "../support/nv-dinov2-setup.ts";
import { type Behaviour, misbehave } from "../support/nvidia-fake.ts";
import { makeJpeg } from "../support/pictures.ts";

describe("a fault that somebody must mend", () => {
  test.each([
    ["unauthorized", "upstream-unauthorized"],
    ["forbidden", "upstream-unauthorized"],
    ["creditsUsedUp", "upstream-unauthorized"],
    ["notFound", "upstream-error"],
    ["gone", "upstream-error"],
  ] as const)("%s is not retried, and refuses what follows without asking", async (name, code) => {
    await using service = setUpNvDinov2();
    const { fake, embed, backend } = service;
    fake.next(misbehave[name]);
    const picture = await makeJpeg();
    const { result } = await embed(picture);
    expect(result).toMatchObject({ code, retryAfterS: undefined });
    expect(backend.state()).toMatchObject({ kind: "unavailable", why: expect.any(String) });
    expect(backend.admission(oneImage)).toMatchObject({ code });
    const refused = await embed(picture);
    expect(refused).toMatchObject({ result: { code }, facts: { format: "jpg" } });
    expect(fake.requests).toHaveLength(1);
  });

  test("has words of its own for credits that are used up", async () => {
    await using service = setUpNvDinov2();
    const { fake, embed } = service;
    fake.next(misbehave.creditsUsedUp);
    expect(String((await embed(await makeJpeg())).result)).toContain("credits are used up");
  });

  test("is probed once a minute, so that the mend needs no restart", async () => {
    await using service = setUpNvDinov2({ prepare: prepareNothing });
    const { fake, clock, embed, backend, lines } = service;
    fake.next(misbehave.unauthorized, misbehave.unauthorized);
    await embed(new Uint8Array([1]));
    await clock.advance(59_000);
    expect(backend.admission(oneImage)).toBeDefined();
    await clock.advance(1_000);
    expect(backend.admission(oneImage)).toBeUndefined();
    expect(backend.state()).toMatchObject({ kind: "unavailable" });
    await Promise.all([1, 2, 3].map((byte) => embed(new Uint8Array([byte]))));
    expect(fake.requests).toHaveLength(2);
    await clock.advance(60_000);
    fake.next(anyVector);
    expect((await embed(new Uint8Array([1]))).result).toMatchObject({ model: "nv-dinov2@fake" });
    expect(backend.state()).toEqual({ kind: "ready" });
    expect(lines.join("")).toContain("serves again");
  });

  test("is void as soon as there is another key", async () => {
    let current = "nvapi-old";
    await using service = setUpNvDinov2({ apiKey: () => current });
    const { embed, backend } = service;
    const picture = await makeJpeg();
    expect((await embed(picture)).result).toMatchObject({ code: "upstream-unauthorized" });
    current = fakeKey;
    expect(backend.admission(oneImage)).toBeUndefined();
    expect(backend.state()).toEqual({ kind: "ready" });
    expect((await embed(picture)).result).toMatchObject({ model: "nv-dinov2@fake" });
  });
});

describe("an outage", () => {
  test("is not sat out: everybody is told at once when to come back", async () => {
    await using service = setUpNvDinov2({ prepare: prepareNothing });
    const { fake, clock, embed, backend } = service;
    fake.next(misbehave.outage());
    const { result } = await embed(new Uint8Array([1]));
    expect(result).toMatchObject({ code: "upstream-error", retryAfterS: 10_800 });
    expect(clock.slept).toEqual([]);
    await clock.advance(800_000);
    expect(backend.admission(oneImage)).toMatchObject({
      code: "upstream-error",
      retryAfterS: 10_000,
    });
    expect(backend.state()).toMatchObject({ kind: "unavailable" });
    expect(fake.requests).toHaveLength(1);
    await clock.advance(10_000_000);
    fake.next(anyVector);
    expect((await embed(new Uint8Array([1]))).result).toMatchObject({ model: "nv-dinov2@fake" });
  });

  test("may name a date instead of seconds", async () => {
    await using service = setUpNvDinov2({ prepare: prepareNothing });
    const { fake, embed } = service;
    fake.next(misbehave.outage("Thu, 01 Jan 2026 00:02:00 GMT"));
    expect((await embed(new Uint8Array([1]))).result).toMatchObject({ retryAfterS: 120 });
  });

  test("of a thousand years is believed for a day", async () => {
    await using service = setUpNvDinov2({ prepare: prepareNothing });
    const { fake, embed } = service;
    fake.next(misbehave.outage("31536000000"));
    expect((await embed(new Uint8Array([1]))).result).toMatchObject({ retryAfterS: 86_400 });
  });

  test("that names no time is a transient failure", async () => {
    await using service = setUpNvDinov2();
    const { fake, embed } = service;
    fake.next(misbehave.outage("soon"));
    expect((await embed(await makeJpeg())).result).toMatchObject({ model: "nv-dinov2@fake" });
  });

  test("sends away who still waits for a turn", async () => {
    const clock = createFakeClock("wait");
    await using service = setUpNvDinov2({ prepare: prepareNothing, requestsPerMinute: 1 }, clock);
    const { fake, embed } = service;
    const { requested, release } = holdNext(fake, misbehave.outage());
    const first = embed(new Uint8Array([1]));
    await requested;
    const second = embed(new Uint8Array([2]), { timeoutMs: 600_000 });
    release();
    for (const { result } of await Promise.all([first, second])) {
      expect(result).toMatchObject({ code: "upstream-error", retryAfterS: 10_800 });
    }
    expect(fake.requests).toHaveLength(1);
  });
});

describe("the quota", () => {
  test("that NVIDIA says is used up slows down everybody, and the request is tried again", async () => {
    await using service = setUpNvDinov2();
    const { fake, clock, embed } = service;
    fake.next(misbehave.rateLimited);
    expect((await embed(await makeJpeg())).result).toMatchObject({ model: "nv-dinov2@fake" });
    expect(fake.requests).toHaveLength(2);
    expect(clock.slept).toEqual([2250]);
  });

  test("that stays used up is an upstream-rate-limited that says when to come back", async () => {
    await using service = setUpNvDinov2();
    const { fake, embed, backend } = service;
    fake.next(misbehave.rateLimited, misbehave.rateLimited, misbehave.rateLimited);
    const { result, facts } = await embed(await makeJpeg());
    expect(result).toMatchObject({ code: "upstream-rate-limited", retryAfterS: 9 });
    expect(facts).toBeDefined();
    expect(fake.requests).toHaveLength(3);
    expect(backend.state()).toEqual({ kind: "ready" });
  });

  test("that is used up beyond the deadline refuses at once", async () => {
    await using service = setUpNvDinov2();
    const { fake, clock, embed } = service;
    fake.next(misbehave.rateLimited);
    const { result } = await embed(await makeJpeg(), { timeoutMs: 2_000 });
    expect(result).toMatchObject({ code: "upstream-rate-limited", retryAfterS: 3 });
    expect(fake.requests).toHaveLength(1);
    expect(clock.slept).toEqual([]);
  });

  test("of 40 a minute is kept to, the rest waiting for the next minute", async () => {
    await using service = setUpNvDinov2({ prepare: prepareNothing });
    const { fake, clock, embed } = service;
    fake.next(...Array<Behaviour>(45).fill(anyVector));
    const startedAt = clock.now();
    const pictures = Array.from({ length: 45 }, (_, index) => new Uint8Array([index]));
    const outcomes = await Promise.all(
      pictures.map((picture) => embed(picture, { timeoutMs: 90_000 })),
    );
    expect(outcomes.filter(({ result }) => "vector" in result)).toHaveLength(45);
    expect(clock.now() - startedAt).toBeGreaterThanOrEqual(60_000);
  });

  test("refuses a demand that it cannot serve in time before anything is sent", async () => {
    await using service = setUpNvDinov2();
    const { clock, backend } = service;
    const deadline = clock.now() + 50_000;
    expect(backend.admission({ kind: "image", inputs: 40, deadline })).toBeUndefined();
    expect(backend.admission({ kind: "image", inputs: 41, deadline })).toMatchObject({
      code: "upstream-rate-limited",
      retryAfterS: 60,
    });
    expect(
      backend.admission({ kind: "image", inputs: 80, deadline: clock.now() + 61_000 }),
    ).toBeUndefined();
  });
});
