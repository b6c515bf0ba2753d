import { describe, expect, test } from "bun:test";
import fc from "fast-check";
import { judge, upstreamDetail } from "../../src/backends/nv-dinov2-answer.ts";

const answerOf = (body: string, status = 200) => ({ status, headers: new Headers(), body });
const float = fc.float({ noNaN: true, noDefaultInfinity: true });
const embedding = fc.array(float, { minLength: 1536, maxLength: 1536, size: "max" });

describe("an answer of the hosted model", () => {
  test("with one entry of 1536 float32 numbers gives back exactly these", () => {
    fc.assert(
      fc.property(embedding, (numbers) => {
        const body = JSON.stringify({ model: "nv-dinov2", metadata: [{ embedding: numbers }] });
        expect(judge(answerOf(body), false, 0)).toEqual({
          kind: "embedding",
          // JSON has no negative zero.
          embedding: { model: "nv-dinov2", vector: Float32Array.from(numbers, (one) => one + 0) },
        });
      }),
      { numRuns: 20 },
    );
  });

  test("with one component that is not a finite number is refused", () => {
    const odd = fc.oneof(
      fc.constantFrom(null, "1", true, [], {}, 1e39, -1e300),
      fc.string(),
      fc.jsonValue().filter((value) => typeof value !== "number"),
    );
    fc.assert(
      fc.property(fc.nat({ max: 1535 }), odd, (place, value) => {
        const numbers = Array<unknown>(1536).fill(0.5).with(place, value);
        const body = JSON.stringify({ model: "nv-dinov2", metadata: [{ embedding: numbers }] });
        expect(judge(answerOf(body), false, 0)).toMatchObject({ kind: "refused" });
      }),
    );
  });

  test("of any other length, or cut anywhere, is refused", () => {
    fc.assert(
      fc.property(fc.nat({ max: 3000 }), fc.double({ min: 0, max: 0.999 }), (length, kept) => {
        const body = (count: number) =>
          JSON.stringify({ model: "m", metadata: [{ embedding: Array(count).fill(0.25) }] });
        const whole = body(1536);
        const cut = whole.slice(0, Math.floor(whole.length * kept));
        for (const text of [body(length === 1536 ? 0 : length), cut]) {
          expect(judge(answerOf(text), false, 0)).toMatchObject({ kind: "refused" });
        }
      }),
    );
  });

  test("that names an odd model is refused, one that names none is nv-dinov2's", () => {
    const body = (model: unknown) =>
      JSON.stringify({ model, metadata: [{ embedding: Array(1536).fill(1) }] });
    for (const model of ["", "a\nb", "x".repeat(129), 7, {}]) {
      expect(judge(answerOf(body(model)), false, 0)).toMatchObject({ kind: "refused" });
    }
    expect(judge(answerOf(body(undefined)), false, 0)).toMatchObject({
      embedding: { model: "nv-dinov2" },
    });
  });

  test("of any status and body has a verdict, and only a whole 200 is an embedding", () => {
    const body = fc.oneof(fc.string(), fc.json(), fc.constant("[".repeat(200_000)));
    fc.assert(
      fc.property(
        fc.integer({ min: 200, max: 599 }),
        body,
        fc.boolean(),
        (status, text, polled) => {
          expect(judge(answerOf(text, status), polled, 0).kind).not.toBe("embedding");
          expect(upstreamDetail(text, "key") ?? "").toBeString();
        },
      ),
    );
  });
});

test("an upstream's detail is one short line without the key", () => {
  const body = JSON.stringify({ detail: `bad\nkey ${"k".repeat(9)} ${"x".repeat(999)}` });
  const detail = upstreamDetail(body, "k".repeat(9)) ?? "";
  expect(detail).toStartWith("bad key [key] xxx");
  expect(detail.length).toBeLessThanOrEqual(300);
});
