import { expect, test } from "bun:test";
import fc from "fast-check";
import { readLines } from "../../src/cli/lines.ts";

/** Bytes in pieces that end anywhere, also in the middle of a character. */
async function* pieces(text: string, sizes: readonly number[]): AsyncGenerator<Uint8Array> {
  let rest = new TextEncoder().encode(text);
  for (const size of sizes) {
    yield rest.subarray(0, size);
    rest = rest.subarray(size);
  }
  yield rest;
}

const sizes = fc.array(fc.integer({ min: 0, max: 9 }), { maxLength: 20 });

test("lines come whole, wherever the bytes are cut", async () => {
  const line = fc.string({ unit: "binary" }).map((text) => text.replaceAll(/[\r\n\ufeff]/g, "é"));
  await fc.assert(
    fc.asyncProperty(
      fc.array(line),
      fc.constantFrom("\n", "\r\n"),
      sizes,
      async (lines, end, cut) => {
        const text = lines.map((one) => one + end).join("");
        expect(await Array.fromAsync(readLines(pieces(text, cut)))).toEqual(lines);
      },
    ),
  );
});

test("the last line needs no line break, and nothing is no line", async () => {
  expect(await Array.fromAsync(readLines(pieces("a\n\nb", [])))).toEqual(["a", "", "b"]);
  expect(await Array.fromAsync(readLines(pieces("", [])))).toEqual([]);
});
