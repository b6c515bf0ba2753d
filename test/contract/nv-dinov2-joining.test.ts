import { describe, expect, test } from "bun:test";
import { Problem } from "../../src/errors.ts";
import { anyVector, holdNext, prepareNothing, setUpNvDinov2 } from "../support/nv-dinov2-setup.ts";

describe("the same picture asked for twice at once", () => {
  const bytes = () => new Uint8Array([7, 7, 7]);

  test("is asked for once, and each has facts and bytes of its own", async () => {
    await using service = setUpNvDinov2({ prepare: prepareNothing });
    const { fake, embed } = service;
    const { requested, release } = holdNext(fake, anyVector);
    const first = embed(bytes());
    await requested;
    const second = embed(bytes());
    release();
    const outcomes = await Promise.all([first, second]);
    for (const outcome of outcomes) {
      expect(outcome).toMatchObject({ result: { model: "nv-dinov2@fake" }, bytes: bytes() });
    }
    expect(fake.requests).toHaveLength(1);
  });

  test("survives the first one's leaving", async () => {
    await using service = setUpNvDinov2({ prepare: prepareNothing });
    const { fake, clock, embed } = service;
    const { requested, release } = holdNext(fake, anyVector);
    const caller = new AbortController();
    const first = embed(bytes(), { signal: caller.signal });
    await requested;
    const second = embed(bytes());
    await clock.advance(0);
    caller.abort();
    expect((await first).result).toBeInstanceOf(Problem);
    release();
    expect((await second).result).toMatchObject({ model: "nv-dinov2@fake" });
    expect(fake.requests).toHaveLength(1);
  });

  test("survives the second one's leaving", async () => {
    await using service = setUpNvDinov2({ prepare: prepareNothing });
    const { fake, clock, embed } = service;
    const { requested, release } = holdNext(fake, anyVector);
    const first = embed(bytes());
    await requested;
    const caller = new AbortController();
    const second = embed(bytes(), { signal: caller.signal });
    await clock.advance(0);
    caller.abort();
    await second;
    release();
    expect((await first).result).toMatchObject({ model: "nv-dinov2@fake" });
  });

  test("is asked for anew once it has been answered", async () => {
    await using service = setUpNvDinov2({ prepare: prepareNothing });
    const { fake, embed } = service;
    fake.next(anyVector, anyVector);
    await embed(bytes());
    await embed(bytes());
    expect(fake.requests).toHaveLength(2);
  });
});
