/** The inputs of an OpenAI request. */
import { expect, test } from "bun:test";
import fc from "fast-check";
import { Problem } from "../../src/errors.ts";
import { fieldName, readInputs, refuseTokenIds } from "../../src/text/embedding-inputs.ts";

const bytes = fc.uint8Array({ minLength: 1, maxLength: 50 });
const item = fc.oneof(
  fc.string().map((text) => ({ sent: text as unknown, kind: "text", value: text as unknown })),
  fc.string().map((text) => ({ sent: { text }, kind: "text", value: text })),
  fc.webUrl().map((image) => ({ sent: { image }, kind: "url", value: image })),
  bytes.map((own) => ({ sent: { image: own.toBase64() }, kind: "bytes", value: own })),
  bytes.map((own) => ({
    sent: { type: "image_url", image_url: { url: `data:image/png;base64,${own.toBase64()}` } },
    kind: "bytes",
    value: own,
  })),
);

test("every input is read as it was sent, in its place", () => {
  fc.assert(
    fc.property(fc.array(item, { minLength: 1, maxLength: 256 }), (items) => {
      const read = readInputs(
        items.map(({ sent }) => sent),
        undefined,
        100,
      );
      expect(read.map(({ kind }) => kind)).toEqual(items.map(({ kind }) => kind) as never);
      for (const [index, one] of read.entries()) {
        expect(one.pointer).toStartWith(`/input/${index}`);
        const value =
          one.kind === "bytes"
            ? new Uint8Array(one.bytes)
            : one.kind === "text"
              ? one.text
              : one.kind === "url" && one.url;
        expect(value as unknown).toEqual(items[index]?.value);
      }
    }),
  );
});

test("whatever else is sent is refused with a pointer into it, and never read", () => {
  fc.assert(
    fc.property(fc.jsonValue(), fc.constantFrom("text", "image", 5), (value, modality) => {
      try {
        const read = readInputs(value, modality, 100);
        expect(read.length).toBeGreaterThan(0);
      } catch (error) {
        if (!(error instanceof Problem)) throw error;
        expect(error.code).toBe("validation-failed");
        expect(error.faults[0]?.pointer).toMatch(/^\/input(\/|$)/);
        expect(fieldName(error.faults[0]?.pointer ?? "")).toMatch(/^input/);
      }
    }),
  );
});

test("a text that speaks of token ids is a text", () => {
  const body = JSON.stringify({ input: '{"input": [1, 2]}', model: "m" });
  expect(() => refuseTokenIds(body)).not.toThrow();
  expect(() => refuseTokenIds(JSON.stringify({ input: [1] }))).toThrow("token ids");
});
