/** How the client of NVIDIA's hosted model meets every single answer that NVIDIA gives or might give. */
import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { Problem } from "../../src/errors.ts";
import { fakeKey, oneImage, prepareNothing, setUpNvDinov2 } from "../support/nv-dinov2-setup.ts";
import {
  type Behaviour,
  misbehave,
  type NvidiaFake,
  startNvidiaFake,
  vectorOf,
} from "../support/nvidia-fake.ts";
import { makeJpeg, truncate } from "../support/pictures.ts";
import { describeNvDinov2 } from "./nv-dinov2.conformance.ts";

describe("conformance", () => {
  let fake: NvidiaFake | undefined;
  beforeAll(() => {
    fake = startNvidiaFake({ key: fakeKey });
  });
  afterAll(() => fake?.stop());
  describeNvDinov2("of the fake", () => ({ baseUrl: fake?.url, key: fakeKey }));

  const key = Bun.env["NVIDIA_CONFORMANCE_KEY"];
  if (key) describeNvDinov2("of NVIDIA's own host", () => ({ baseUrl: undefined, key }));
  else process.stderr.write("left out: NVIDIA's own host (NVIDIA_CONFORMANCE_KEY is not set)\n");
});

describe("a good answer", () => {
  test("is the vector, the upstream's own model name, the facts, the bytes and the timings", async () => {
    await using service = setUpNvDinov2();
    const { fake, embed, backend } = service;
    const picture = await makeJpeg();
    const outcome = await embed(picture);
    expect(outcome.result).toEqual({
      model: "nv-dinov2@fake",
      vector: Float32Array.from(vectorOf(picture)),
    });
    expect(outcome.facts).toMatchObject({ format: "jpg", width: 64, height: 48 });
    expect(outcome.bytes).toEqual(picture);
    expect(Object.keys(outcome.timings)).toEqual(["queue", "decode", "upstream"]);
    expect(fake.requests).toHaveLength(1);
    expect(backend.state()).toEqual({ kind: "ready" });
    expect(backend.admission(oneImage)).toBeUndefined();
  });

  test("that comes late is polled for, at most once a second and with the key", async () => {
    await using service = setUpNvDinov2();
    const { fake, clock, embed } = service;
    fake.next(misbehave.pending, misbehave.pending, misbehave.pending);
    const picture = await makeJpeg();
    const { result } = await embed(picture);
    expect(result).toMatchObject({ vector: Float32Array.from(vectorOf(picture)) });
    expect(fake.requests.map(({ method }) => method)).toEqual(["POST", "GET", "GET", "GET"]);
    expect(new Set(fake.requests.map(({ headers }) => headers.get("authorization")))).toEqual(
      new Set([`Bearer ${fakeKey}`]),
    );
    expect(clock.slept).toEqual([1000, 1000, 1000]);
  });

  test("that never comes is polled for until the deadline and no longer", async () => {
    await using service = setUpNvDinov2();
    const { fake, embed } = service;
    fake.next(...Array<Behaviour>(20).fill(misbehave.pending));
    const { result, facts } = await embed(await makeJpeg(), { timeoutMs: 5_500 });
    expect(result).toMatchObject({ code: "upstream-timeout" });
    expect(facts).toBeDefined();
    expect(fake.requests).toHaveLength(6);
  });

  test("to a poll after a transient failure is not paid for twice", async () => {
    await using service = setUpNvDinov2();
    const { fake, embed } = service;
    fake.next(misbehave.pending, misbehave.badGateway);
    expect((await embed(await makeJpeg())).result).toMatchObject({ model: "nv-dinov2@fake" });
    expect(fake.requests.map(({ method }) => method)).toEqual(["POST", "GET", "GET"]);
  });
});

describe("an answer that cannot be used is an upstream-error, and the next request works again", () => {
  test.each([
    "wrongDimension",
    "noMetadata",
    "twoEntries",
    "notANumber",
    "tooLargeNumber",
    "notJson",
    "emptyBody",
    "endlessBody",
    "pendingWithoutId",
    "tooLarge",
    "unprocessable",
  ] as const)("%s", async (name) => {
    await using service = setUpNvDinov2();
    const { fake, embed, backend } = service;
    fake.next(misbehave[name]);
    const picture = await makeJpeg();
    const { result, facts, bytes } = await embed(picture);
    expect(result).toMatchObject({ code: "upstream-error", retryAfterS: undefined });
    expect(facts).toBeDefined();
    expect(bytes).toEqual(picture);
    expect(fake.requests).toHaveLength(1);
    expect(backend.state()).toEqual({ kind: "ready" });
    expect((await embed(picture)).result).toMatchObject({ model: "nv-dinov2@fake" });
  });

  test("the upstream's own detail is logged but never shown to the caller", async () => {
    await using service = setUpNvDinov2();
    const { fake, embed, lines } = service;
    fake.next(misbehave.unprocessable);
    const { result } = await embed(await makeJpeg());
    expect(lines.join("")).toContain("The image cannot be processed.");
    expect(String(result)).not.toContain("cannot be processed");
  });

  test("a poll whose result has expired does not declare the model withdrawn", async () => {
    await using service = setUpNvDinov2();
    const { fake, embed, backend } = service;
    fake.next(misbehave.pending, misbehave.notFound);
    expect((await embed(await makeJpeg())).result).toMatchObject({ code: "upstream-error" });
    expect(backend.state()).toEqual({ kind: "ready" });
  });

  test("a redirect is not followed: the key stays with the host that it is for", async () => {
    await using service = setUpNvDinov2();
    const { fake, embed } = service;
    await using other = setUpNvDinov2();
    const elsewhere = other.fake;
    fake.next(misbehave.redirect(`${elsewhere.url}/v1/cv/nvidia/nv-dinov2`));
    expect((await embed(await makeJpeg())).result).toMatchObject({ code: "upstream-error" });
    expect(elsewhere.requests).toHaveLength(0);
  });
});

describe("a transient failure", () => {
  const transient = ["internalError", "badGateway", "gatewayTimeout", "resetMidBody"] as const;

  test.each(transient)("%s is retried", async (name) => {
    await using service = setUpNvDinov2();
    const { fake, embed } = service;
    fake.next(misbehave[name], misbehave[name]);
    expect((await embed(await makeJpeg())).result).toMatchObject({ model: "nv-dinov2@fake" });
    expect(fake.requests).toHaveLength(3);
  });

  test.each(transient)("%s is retried twice at most", async (name) => {
    await using service = setUpNvDinov2();
    const { fake, clock, embed } = service;
    fake.next(misbehave[name], misbehave[name], misbehave[name]);
    const { result, facts } = await embed(await makeJpeg());
    expect(result).toMatchObject({ code: "upstream-error" });
    expect(facts).toBeDefined();
    expect(fake.requests).toHaveLength(3);
    expect(clock.slept).toEqual([375, 750]);
  });

  test("is not retried when the deadline would pass meanwhile", async () => {
    await using service = setUpNvDinov2();
    const { fake, embed } = service;
    fake.next(misbehave.internalError);
    const { result } = await embed(await makeJpeg(), { timeoutMs: 370 });
    expect(result).toMatchObject({ code: "upstream-error" });
    expect(fake.requests).toHaveLength(1);
  });

  test("such as a refused connection is an upstream-error", async () => {
    await using service = setUpNvDinov2();
    const { fake, embed } = service;
    await fake.stop();
    expect((await embed(await makeJpeg())).result).toMatchObject({ code: "upstream-error" });
  });
});

describe("a slow answer", () => {
  test("is an upstream-timeout at the deadline, and the upstream's request is dropped", async () => {
    await using service = setUpNvDinov2({ prepare: prepareNothing });
    const { fake, embed } = service;
    const { dropped } = slowRequest(fake);
    const { result, facts } = await embed(new Uint8Array([1]), { timeoutMs: 50 });
    expect(result).toMatchObject({ code: "upstream-timeout" });
    expect(facts).toBeDefined();
    await dropped;
  });

  test("is dropped as soon as its caller leaves", async () => {
    await using service = setUpNvDinov2({ prepare: prepareNothing });
    const { fake, embed } = service;
    const { requested, dropped } = slowRequest(fake);
    const caller = new AbortController();
    const outcome = embed(new Uint8Array([1]), { signal: caller.signal });
    await requested;
    caller.abort();
    expect((await outcome).result).toBeInstanceOf(Problem);
    await dropped;
  });
});

/** Makes the next request slow, and tells when it came and when its client hung up. */
function slowRequest(fake: NvidiaFake) {
  const came = Promise.withResolvers<void>();
  const dropped = Promise.withResolvers<void>();
  fake.next(async (request) => {
    came.resolve();
    const response = await misbehave.slow(request);
    dropped.resolve();
    return response;
  });
  return { requested: came.promise, dropped: dropped.promise };
}

describe("before anything is sent", () => {
  test.each([undefined, "", " \n"])("no key (%j) is told with where to get one", async (none) => {
    await using service = setUpNvDinov2({ apiKey: () => none });
    const { fake, embed, backend } = service;
    expect(backend.state()).toMatchObject({ kind: "unavailable" });
    expect(backend.admission(oneImage)).toMatchObject({
      code: "model-unavailable",
      message: expect.stringMatching(/NVIDIA_API_KEY.*build\.nvidia\.com/),
    });
    const outcome = await embed(await makeJpeg());
    expect(outcome).toMatchObject({ result: { code: "model-unavailable" }, facts: {} });
    expect(fake.requests).toHaveLength(0);
  });

  test("a picture that does not decode is its own problem, without facts", async () => {
    await using service = setUpNvDinov2();
    const { fake, embed } = service;
    const cut = truncate(await makeJpeg(), 50);
    const { result, facts, bytes } = await embed(cut);
    expect(result).toMatchObject({ code: "undecodable-image" });
    expect(facts).toBeUndefined();
    expect(bytes).toEqual(cut);
    expect(fake.requests).toHaveLength(0);
  });

  test("a worker that cannot be had is that problem", async () => {
    const overloaded = new Problem("overloaded", "Later.", { retryAfterS: 2 });
    await using service = setUpNvDinov2({ prepare: () => Promise.reject(overloaded) });
    const { embed } = service;
    expect((await embed(new Uint8Array())).result).toBe(overloaded);
  });

  test("a worker that breaks is an internal error, never an exception", async () => {
    await using service = setUpNvDinov2({ prepare: () => Promise.reject(new RangeError("oops")) });
    const { embed, lines } = service;
    expect((await embed(new Uint8Array())).result).toMatchObject({ code: "internal-error" });
    expect(lines.join("")).toContain("oops");
  });
});
